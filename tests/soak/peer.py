"""The other end, made by hand: a socket that does what it is told, as a client or as a server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket as stdlib_socket
import ssl
import struct
from typing import Any

import gevent

from tests.support.net import MASK, frame, request

CLOSE, PING, PONG = 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: What a peer is told when the other end has gone without a word.
GONE = (ConnectionError, ssl.SSLError)

#: Seconds that anything may take before a peer says that it is stuck.
PATIENCE = 60.0


class Peer:
    """One end of a connection.

    Args:
        sock: connected, of gevent.
        context: how it does TLS, if it is asked to.
        path: of the request that a client sends; None for a server.
    """

    def __init__(self, sock: Any, context: Any, path: str | None) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self._context = context
        self._path = path
        self._buffer = b""

    @property
    def is_client(self) -> bool:
        """Whether it is a client, and the other end a server."""
        return self._path is not None

    def start_tls(self) -> None:
        """Do the TLS handshake."""
        if self._path is None:
            self.sock = self._context.wrap_socket(self.sock, server_side=True)
        else:
            self.sock = self._context.wrap_socket(self.sock, server_hostname="localhost")

    def open(self) -> None:
        """Do the opening handshake."""
        if self._path is not None:
            self.sock.sendall(request(self._path))
            head = self._head()
            assert head.startswith(b"HTTP/1.1 101 "), head
            return
        head = self._head()
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(key.partition(b":")[2].strip() + GUID).digest())
        self.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def _head(self) -> bytes:
        while b"\r\n\r\n" not in self._buffer:
            more = self.sock.recv(65536)
            assert more, f"the stream ended in the head: {self._buffer!r}"
            self._buffer += more
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def say_close(self, code: int = 1000) -> None:
        """Send a close frame."""
        payload = code.to_bytes(2, "big")
        self.sock.sendall(frame(CLOSE, payload, mask=None if self._path is None else MASK))

    def close(self) -> None:
        """Begin the closing handshake, and go through with it."""
        self.say_close()
        self._await_close()
        self._end()

    def answer_close(self) -> None:
        """Wait for the closing handshake, and go through with it. The other end may go without one."""
        with contextlib.suppress(*GONE):
            payload = self._await_close()
            if payload is not None:
                self.say_close(int.from_bytes(payload[:2], "big") if payload else 1000)
        self._end()

    def _await_close(self) -> bytes | None:
        """Return the payload of the close frame; None where the other end goes without one."""
        while True:
            head = self._exactly(2)
            size = (head or b"??")[1] & 127
            if size > 125:
                size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
            mask = b"" if self.is_client else self._exactly(4)
            payload = self._exactly(size)
            if not head or len(payload) < size:
                return None
            if head[0] & 15 == CLOSE:
                return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if mask else payload

    def _exactly(self, size: int) -> bytes:
        """Return so many bytes; none, or less, at the end of the stream."""
        while len(self._buffer) < size:
            more = self.sock.recv(65536)
            if not more:
                return b""
            self._buffer += more
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _end(self) -> None:
        """A server closes TCP first (RFC 6455 §7.1.1)."""
        if self.is_client:
            self.to_the_end()

    def to_the_end(self) -> None:
        """Read until the other end has closed, or reset."""
        with contextlib.suppress(*GONE):
            while self.sock.recv(65536):
                pass

    def half_close(self) -> None:
        """Say that no more comes, by TCP."""
        self.sock.shutdown(stdlib_socket.SHUT_WR)

    def be_heard(self) -> None:
        """Wait until the other end has read what was sent: it answers a ping."""
        self.sock.sendall(frame(PING, b"", mask=None if self._path is None else MASK))
        assert self._exactly(2)[:1] == bytes([0x80 | PONG])
        self._exactly(0 if self.is_client else 4)  # the mask

    def reset(self) -> None:
        """Vanish with RST, which takes back what has not been read: see `be_heard`."""
        self.sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def ignore(self, seconds: float) -> None:
        """Read nothing for so long, which should be long enough for the other end to go away; then see that it has."""
        gevent.sleep(seconds)
        self.to_the_end()
