"""A WebSocket client of a few lines on a plain socket: enough to knock at a server, cheap enough to hold thousands."""

from __future__ import annotations

import socket
import ssl

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Origin: http://127.0.0.1:%d\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)
MASK = b"\x37\xfa\x21\x3d"
PAYLOAD = b"abcdefghijklmnopqrstuvwxyz012345"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def masked(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame with a short payload."""
    body = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    return bytes((0x80 | opcode, 0x80 | len(payload))) + MASK + body


MESSAGE = masked(TEXT, PAYLOAD)
ANSWER = bytes((0x80 | TEXT, len(PAYLOAD))) + PAYLOAD
GOODBYE = masked(CLOSE, (1000).to_bytes(2, "big"))


class Client:
    """One connection, one method per step; `raw` speaks no WebSocket and only sends the same payload."""

    __slots__ = ("port", "raw", "sock")
    headers = b""

    def __init__(
        self, port: int, raw: bool = False, timeout: float = 10.0, context: ssl.SSLContext | None = None
    ) -> None:
        self.port = port
        self.raw = raw
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname="127.0.0.1")

    def request(self) -> None:
        """Send the opening handshake."""
        if not self.raw:
            self.sock.sendall(REQUEST % (self.port, self.port, self.headers))

    def accept(self) -> None:
        """Take the server's half of the opening handshake; it has nothing to say behind its head."""
        head = b""
        while not self.raw and not head.endswith(b"\r\n\r\n"):
            head += self._receive(4096)
        if not self.raw and not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"handshake refused: {head[:100]!r}")

    def send(self) -> None:
        """Send one text message of 32 bytes."""
        self.sock.sendall(PAYLOAD if self.raw else MESSAGE)

    def receive(self) -> None:
        """Take the echo of that message."""
        answer = PAYLOAD if self.raw else ANSWER
        received = b""
        while len(received) < len(answer):
            received += self._receive(len(answer) - len(received))
        if received != answer:
            raise ConnectionError(f"not an echo: {received!r}")

    def say_goodbye(self) -> None:
        """Start the closing handshake."""
        if self.raw:
            self.sock.shutdown(socket.SHUT_WR)
        else:
            self.sock.sendall(GOODBYE)

    def wait_end(self) -> None:
        """Wait for the server to end the connection."""
        try:
            while self.sock.recv(4096):
                pass
        except ConnectionResetError:
            pass

    def open(self) -> None:
        """Run the opening handshake."""
        self.request()
        self.accept()

    def echo(self) -> None:
        """Send one message and take its echo."""
        self.send()
        self.receive()

    def close(self) -> None:
        """Run the closing handshake."""
        self.say_goodbye()
        self.wait_end()

    def _receive(self, size: int) -> bytes:
        data = self.sock.recv(size)
        if not data:
            raise ConnectionError("the server ended the connection")
        return data
