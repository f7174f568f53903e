// What is sent: the same bytes in every language. payload.py is its twin, and documents it.
'use strict';

const { createHash } = require('crypto');

exports.binary = (size) => {
  const data = Buffer.alloc(size);
  for (let i = 0; i < size; i += 1) data[i] = (31 * (i % 251) + size) % 251;
  return data;
};

exports.text = (size) => 'aé€😀'.repeat(Math.floor(size / 10)) + 'x'.repeat(size % 10);

exports.digest = (data) => createHash('sha256').update(data).digest('hex');
