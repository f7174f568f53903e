"""No WebSocket library: gevent's own server, a frame made once, and a loop of send. What it costs at least.

It knows just enough of the protocol for the load generator: a request in one piece, masked messages of one frame.
"""

import sys
import zlib
from base64 import b64encode
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha1
from io import BufferedReader
from typing import Any

from gevent.server import StreamServer
from gevent.socket import socket

ANSWER = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: %s\r\n%s\r\n"
)
EXTENSION = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
DEFLATE = "deflate" in sys.argv

sockets: set[socket] = set()


def answer(request: bytes, deflate: bool) -> bytes:
    """Return the server's half of the opening handshake."""
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    return (ANSWER % (accept, EXTENSION if deflate else "")).encode()


def receive(reader: BufferedReader) -> bytes | None:
    """Return the payload of the next message; None at the end."""
    head = reader.read(2)
    if len(head) < 2 or head[0] & 15 == 8:
        return None
    size = head[1] & 127
    if size > 125:
        size = int.from_bytes(reader.read(2 if size == 126 else 8), "big")
    mask, payload = reader.read(4), reader.read(size)
    mask *= size // 4 + 1
    return (int.from_bytes(mask[:size], "big") ^ int.from_bytes(payload, "big")).to_bytes(size, "big")


def frame_of(payload: bytes, deflate: bool) -> bytes:
    """Return a text frame."""
    first = 0x81
    if deflate:
        deflater = zlib.compressobj(wbits=-12, memLevel=5)
        payload = (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        first |= 0x40
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def broadcast(sockets: Iterable[socket], frame: bytes) -> None:
    """Send a frame to all; who does not take it at once is waited for."""
    for sock in tuple(sockets):
        with suppress(OSError):
            sent = sock.send(frame)
            if sent < len(frame):
                sock.sendall(frame[sent:])


def serve(sock: socket, address: Any) -> None:
    """Send every message to all; where all of them are compressed, to one that cannot have that only its own."""
    with suppress(OSError):
        request = sock.recv(65536)
        deflate = DEFLATE and b"permessage-deflate" in request
        sock.sendall(answer(request, deflate))
        all_of_its_kind = sockets if deflate == DEFLATE else {sock}
        all_of_its_kind.add(sock)
        reader = sock.makefile("rb")
        while (payload := receive(reader)) is not None:
            broadcast(all_of_its_kind, frame_of(payload, deflate))
    sockets.discard(sock)


StreamServer(("127.0.0.1", int(sys.argv[1])), serve).serve_forever()
