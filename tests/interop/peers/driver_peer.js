// A peer made of the npm package `websocket-driver` or `faye-websocket`, whichever the argument names: commands come in
// on stdin, events go out on stdout, a JSON line each. peer.py in the folder above lists them. PEER_DEFLATE=1 adds the
// npm package `permessage-deflate`. Only `faye-websocket` is a client over TLS and through proxies.
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const net = require('net');
const readline = require('readline');
const { digest } = require('./payload.js');

const faye = process.argv[2] === 'faye-websocket';
const library = require(process.argv[2]);
const extensions = process.env.PEER_DEFLATE === '1' ? [require('permessage-deflate')] : [];

const emit = (event, details) => process.stdout.write(`${JSON.stringify({ event, ...details })}\n`);

let socket = null;

function watch(ws, echo, headers) {
  let opened = false;
  const send = (data) => {
    if (faye) ws.send(data);
    else if (Buffer.isBuffer(data)) ws.binary(data);
    else ws.text(data);
  };
  socket = {
    send,
    ping: (data) => ws.ping(data, () => emit('pong', { data })),
    close: (code, reason) => (faye ? ws.close(code, reason) : ws.close(reason, code)),
  };
  ws.on('open', () => {
    opened = true;
    emit('open', { protocol: ws.protocol || null, headers: headers() });
  });
  ws.on('message', ({ data }) => {
    const binary = Buffer.isBuffer(data);
    const bytes = binary ? data : Buffer.from(data);
    emit('message', { binary, size: bytes.length, sha256: digest(bytes) });
    if (echo) send(data);
  });
  ws.on('error', (error) => process.stderr.write(`${error.message}\n`));
  ws.on('close', ({ code, reason }) => {
    if (opened) emit('close', { code, reason });
  });
}

// What a client says of an answer that it did not want, or of none.
function watchOpening(ws) {
  let over = false;
  ws.on('open', () => { over = true; });
  ws.on('error', ({ message }) => {
    if (over) return;
    over = true;
    if (ws.statusCode && ws.statusCode !== 101) emit('refused', { status: ws.statusCode });
    else emit('failed', { error: message });
  });
}

// What faye-websocket does by itself.
function wire(driver, stream, fields, echo, headers) {
  for (const [name, value] of Object.entries(fields)) driver.setHeader(name, value);
  for (const extension of extensions) driver.addExtension(extension);
  watch(driver, echo, headers);
  driver.on('close', () => stream.end());
  stream.on('error', () => {});
  stream.pipe(driver.io).pipe(stream);
}

const commands = {
  connect({ url, protocols, headers, ca, proxy, echo, limit }) {
    if (faye) {
      const ws = new library.Client(url, protocols, {
        headers,
        extensions,
        maxLength: limit,
        tls: ca === null ? {} : { ca: fs.readFileSync(ca) },
        proxy: proxy === undefined ? {} : { origin: proxy },
      });
      watchOpening(ws);
      watch(ws, echo, () => ws.headers);
      return;
    }
    const { hostname, port } = new URL(url);
    const driver = library.client(url, { protocols, maxLength: limit });
    const stream = net.connect(port, hostname, () => driver.start());
    wire(driver, stream, headers, echo, () => driver.headers);
  },

  listen({ protocols, headers, certificate, echo, limit }) {
    const pem = certificate === null ? null : fs.readFileSync(certificate);
    const server = pem === null ? http.createServer() : https.createServer({ cert: pem, key: pem });
    server.on('tlsClientError', () => {});
    server.on('upgrade', (request, stream, head) => {
      if (faye) {
        const options = { headers, extensions, maxLength: limit };
        watch(new library(request, stream, head, protocols, options), echo, () => request.headers);
        return;
      }
      const driver = library.http(request, { protocols, maxLength: limit });
      wire(driver, stream, headers, echo, () => request.headers);
      driver.start();
      driver.io.write(head);
    });
    server.listen(0, '127.0.0.1', () => emit('listening', { port: server.address().port }));
  },

  send({ kind, data }) {
    socket.send(kind === 'text' ? data : Buffer.from(data, 'latin1'));
  },

  ping({ data }) {
    socket.ping(data);
  },

  close({ code, reason }) {
    socket.close(code, reason);
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { do: name, ...details } = JSON.parse(line);
  commands[name](details);
}).on('close', () => process.exit());
