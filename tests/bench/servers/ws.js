// ws, the usual WebSocket server of Node: PORT [deflate].
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: Number(process.argv[2]),
  maxPayload: 0,
  perMessageDeflate: process.argv[3] === 'deflate' ? { threshold: 0 } : false,
});
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
