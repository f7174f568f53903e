"""The package websocket-client, as its documentation has it: it uses wsaccel where that is installed."""

import socket

import roundtrips
import websocket

url, size, seconds = roundtrips.arguments()
message = roundtrips.message_of(size)
ws = websocket.create_connection(url, sockopt=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)])
roundtrips.run(message, seconds, ws.send if isinstance(message, str) else ws.send_binary, ws.recv)
ws.close()
