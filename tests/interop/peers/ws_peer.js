// A peer made of the npm package `ws`: commands come in on stdin, events go out on stdout, a JSON line each.
// websockets_peer.py is its twin; peer.py in the folder above speaks to both, and lists the commands and events.
'use strict';

const fs = require('fs');
const http = require('http');
const https = require('https');
const readline = require('readline');
const WebSocket = require('ws');
const { binary, digest, text } = require('./payload.js');

const emit = (event, details) => process.stdout.write(`${JSON.stringify({ event, ...details })}\n`);
const bytes = (data) => Buffer.from(data, 'latin1');

let socket = null;
let echo = false;

// The listeners come at once: a message may follow the handshake in the same segment.
function watch(ws) {
  socket = ws;
  ws.on('message', (data, isBinary) => {
    emit('message', { binary: isBinary, size: data.length, sha256: digest(data) });
    if (echo) ws.send(data, { binary: isBinary });
  });
  ws.on('ping', (data) => emit('ping', { data: data.toString() }));
  ws.on('pong', (data) => emit('pong', { data: data.toString() }));
  ws.on('close', (code, reason) => emit('close', { code, reason: reason.toString() }));
}

const commands = {
  connect({ url, protocols, headers, ca, echo: wanted, limit }) {
    echo = wanted;
    const ws = new WebSocket(url, protocols, {
      headers,
      maxPayload: limit,
      ca: ca === null ? undefined : fs.readFileSync(ca),
    });
    let answer = null;
    ws.on('upgrade', (response) => { answer = response; });
    ws.on('unexpected-response', (request, response) => {
      emit('refused', { status: response.statusCode });
      request.destroy();
    });
    ws.on('error', (error) => {
      if (answer === null) emit('failed', { error: `${error.code}: ${error.message}` });
    });
    ws.on('open', () => {
      emit('open', { protocol: ws.protocol || null, headers: answer.headers });
      watch(ws);
    });
  },

  listen({ protocols, headers, certificate, answer, echo: wanted, limit }) {
    echo = wanted;
    const pem = certificate === null ? null : fs.readFileSync(certificate);
    const server = pem === null ? http.createServer() : https.createServer({ cert: pem, key: pem });
    server.on('tlsClientError', () => {});
    const websockets = new WebSocket.Server({
      noServer: true,
      maxPayload: limit,
      handleProtocols: (offered) => protocols.find((name) => offered.has(name)) || false,
    });
    websockets.on('headers', (lines) => {
      for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
    });
    server.on('upgrade', (request, stream, head) => {
      if (answer !== null) {
        const fields = { ...answer.headers, 'Content-Length': Buffer.byteLength(answer.body), Connection: 'close' };
        const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
        const status = `${answer.status} ${http.STATUS_CODES[answer.status]}`;
        stream.end(`HTTP/1.1 ${status}\r\n${lines.join('')}\r\n${answer.body}`);
        return;
      }
      websockets.handleUpgrade(request, stream, head, (ws) => {
        ws.on('error', () => {});
        emit('open', { protocol: ws.protocol || null, headers: request.headers });
        watch(ws);
      });
    });
    server.listen(0, '127.0.0.1', () => emit('listening', { port: server.address().port }));
  },

  send({ kind, size, data }) {
    if (data !== undefined) socket.send(kind === 'text' ? data : bytes(data));
    else socket.send(kind === 'text' ? text(size) : binary(size));
  },

  // A message in fragments, cut between any bytes, with a ping behind the first.
  send_fragments({ kind, parts, ping }) {
    parts.forEach((part, i) => {
      socket.send(bytes(part), { binary: kind === 'binary', fin: i === parts.length - 1 });
      if (i === 0) socket.ping(ping);
    });
  },

  ping({ data }) {
    socket.ping(data);
  },

  close({ code, reason }) {
    if (code === null) socket.close();
    else socket.close(code, reason);
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { do: name, ...details } = JSON.parse(line);
  commands[name](details);
}).on('close', () => process.exit());
