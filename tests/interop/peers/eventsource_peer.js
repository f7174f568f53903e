// A peer made of the npm package `eventsource`: commands come in on stdin, events go out on stdout, a JSON line each:
// `connect` (with the types of event to listen for) and `close`; `open`, `event` and `error`. A certificate to trust
// comes by NODE_EXTRA_CA_CERTS.
'use strict';

const readline = require('readline');
const { EventSource } = require('eventsource');

const emit = (event, details) => process.stdout.write(`${JSON.stringify({ event, ...details })}\n`);

let source = null;

const commands = {
  connect({ url, types }) {
    source = new EventSource(url);
    source.onopen = () => emit('open', {});
    source.onerror = ({ code }) => emit('error', { status: code || null, comes_back: source.readyState === source.CONNECTING });
    for (const name of types) {
      source.addEventListener(name, ({ type, data, lastEventId, origin }) => {
        emit('event', { type, data, id: lastEventId, origin });
      });
    }
  },

  close() {
    source.close();
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { do: name, ...details } = JSON.parse(line);
  commands[name](details);
}).on('close', () => process.exit());
