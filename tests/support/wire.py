"""A client of raw bytes, for what a well-behaved library would not send, or would hide."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.net import KEY, frame, read_frame, read_head, request

__all__ = ["BAD_REQUESTS", "BINARY", "CLOSE", "PATIENCE", "PING", "PONG", "TEXT", "Response", "Wire", "until"]

#: Seconds that anything may take before a test fails.
PATIENCE = 10.0

TEXT = 1
BINARY = 2
CLOSE = 8
PING = 9
PONG = 10

#: The answer to ``net.KEY`` (RFC 6455 §1.3).
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


#: A wrong request, by what is wrong: the part of a right one that it replaces, by what, and the status of the answer.
BAD_REQUESTS = {
    "a wrong key": (f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Key: c2hvcnQ=", 400),
    "a key that is no base64": (f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Key: !!!!", 400),
    "no key": (f"Sec-WebSocket-Key: {KEY}\r\n", "", 400),
    "an unknown version": ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 99", 426),
    "a version that is no number": ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: new", 426),
    "no version": ("Sec-WebSocket-Version: 13\r\n", "", 400),
    "a body": ("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello", 400),
    "a body that does not come": ("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n", 400),
    "a long body": ("\r\n\r\n", "\r\nContent-Length: 300000\r\n\r\n" + "x" * 300_000, 400),
    "a chunked body": ("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400),
    "no host": ("Host: localhost\r\n", "", 400),
    "a host with a slash": ("Host: localhost", "Host: local/host", 400),
    "a host with a user": ("Host: localhost", "Host: user@localhost", 400),
    "a port that is none": ("Host: localhost", "Host: localhost:99999", 400),
    "HTTP/1.0": ("HTTP/1.1", "HTTP/1.0", 400),
}


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Poll until a condition is true; return its value. ``what`` says what was missed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Response:
    """An HTTP response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    """One connection to a server on the loopback address.

    Args:
        address: a port, or the path of a Unix socket.
        tls: the context to wrap it with.
        receive_buffer: bytes for the kernel's receive buffer, to be a peer that takes little.

    Attributes:
        received: how many bytes have come so far, TLS taken off.
    """

    def __init__(self, address: int | str, tls: ssl.SSLContext | None = None, receive_buffer: int = 0) -> None:
        self.received = 0
        self._said_close = False
        family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(PATIENCE)
            if receive_buffer:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.sock.connect(("127.0.0.1", address) if isinstance(address, int) else address)
            if isinstance(address, int):
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
        except BaseException:
            self.sock.close()
            raise

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def recv(self, size: int) -> bytes:
        """Receive up to ``size`` bytes; none at the end."""
        data = self.sock.recv(size)
        self.received += len(data)
        return data

    def send(self, data: bytes) -> None:
        """Send these very bytes."""
        self.sock.sendall(data)

    def ask(self, path: str, extra: str = "", early: bytes = b"") -> None:
        """Send a WebSocket request, and ``early`` in the same segment."""
        self.send(request(path, extra) + early)

    def open(self, path: str, extra: str = "", early: bytes = b"") -> Wire:
        """Ask, and check the handshake."""
        try:
            self.ask(path, extra, early)
            self.opened()
        except BaseException:
            self.close()
            raise
        return self

    def opened(self) -> bytes:
        """Read the handshake, check it, and return it."""
        head = read_head(self.recv)
        assert head.startswith(b"HTTP/1.1 101 "), head + (b"" if head else b"the end of the stream")
        assert ACCEPT in head, head
        return head

    def text(self, *messages: str) -> None:
        """Send text messages, all at once."""
        self.send(b"".join(frame(TEXT, message.encode()) for message in messages))

    def message(self) -> str | bytes:
        """Read one message; control frames are none."""
        opcode, payload = read_frame(self.recv)
        assert opcode in (TEXT, BINARY), (opcode, payload)
        return payload.decode() if opcode == TEXT else payload

    def ping(self, payload: bytes) -> None:
        """Ping, and check the pong."""
        self.send(frame(PING, payload))
        assert read_frame(self.recv) == (PONG, payload)

    def closed(self) -> int:
        """Read on to the close frame, answer it, check that TCP ends then, and return its code."""
        deadline = time.monotonic() + PATIENCE
        opcode, payload = read_frame(self.recv)
        while opcode in (TEXT, BINARY, PING, PONG):
            assert time.monotonic() < deadline, f"no close frame came, but other frames for {PATIENCE:.0f} seconds"
            opcode, payload = read_frame(self.recv)
        assert opcode == CLOSE, f"the connection ended without a close frame ({opcode})"
        if not self._said_close:
            self.say_close(payload)
        assert self.ended()
        return int(struct.unpack("!H", payload[:2])[0]) if payload else 1005

    def say_close(self, payload: bytes = b"\x03\xe8") -> None:
        """Send a close frame; that is the last one."""
        self._said_close = True
        self.send(frame(CLOSE, payload))

    def leave(self, code: int = 1000) -> int:
        """Do the closing handshake; return the code of the server's close frame."""
        self.say_close(struct.pack("!H", code))
        opcode, payload = read_frame(self.recv)
        assert opcode == CLOSE, (opcode, payload)
        assert self.ended()
        return int(struct.unpack("!H", payload[:2])[0])

    def ended(self) -> bool:
        """Whether the stream ends here, in order."""
        return self.recv(1) == b""

    def response(self) -> Response:
        """Read one HTTP response with a Content-Length."""
        head = read_head(self.recv)
        assert head.startswith(b"HTTP/1.1 "), head + (b"" if head else b"the end of the stream")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in filter(None, lines):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = b""
        size = int(headers["content-length"])
        while len(body) < size:
            more = self.recv(size - len(body))
            assert more, f"the body ends after {len(body)} of {size} bytes"
            body += more
        return Response(int(status.split()[1]), headers, body)

    def get(self, path: str) -> Response:
        """Send a plain GET, and read the response."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return self.response()

    def ask_badly(self, bad: str, path: str) -> int:
        """Send a request of :data:`BAD_REQUESTS`, and check the answer: a plain sentence, and the end. Its status."""
        old, new, status = BAD_REQUESTS[bad]
        good = request(path)
        assert good.count(old.encode()) == 1
        self.send(good.replace(old.encode(), new.encode()))
        response = self.response()
        assert response.status == status, response
        assert response.headers.get("sec-websocket-version") == ("13" if status == 426 else None)
        assert response.headers["connection"].lower() == "close"
        assert response.headers["content-type"].startswith("text/plain")
        sentence = response.body.decode().strip()
        assert len(sentence) > 10
        assert "\n" not in sentence
        assert "<" not in sentence
        assert self.ended()
        return status

    @contextmanager
    def drained(self) -> Iterator[None]:
        """Read all that comes, as fast as it can be read, in a thread."""
        done = threading.Event()

        def drain() -> None:
            while not done.is_set() and self.recv(1 << 18):
                pass

        thread = threading.Thread(target=drain)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def is_silent(self) -> bool:
        """Whether nothing has come that was not read; not for TLS."""
        return not select.select([self.sock], [], [], 0)[0]

    def reset(self) -> None:
        """Go away with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # An SSLSocket's close is the plain one: no closing alert.
        self.sock.close()

    def close(self) -> None:
        """Go away: FIN, or RST where something has not been read."""
        self.sock.close()
