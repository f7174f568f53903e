"""Ports, raw sockets and frames made by hand."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress

MASK = b"\x37\xfa\x21\x3d"

KEY = "dGhlIHNhbXBsZSBub25jZQ=="

REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{{extra}}\r\n"
)


def free_port() -> int:
    """Return a port of the loopback address that nobody uses.

    It is none of those that systems give to clients: else one of these would have it before the server that is to.
    """
    for port in random.SystemRandom().sample(range(10_000, 32_000), 100):
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise OSError("a hundred ports are all in use")


def request(path: str = "/", extra: str = "") -> bytes:
    """Return a right WebSocket request; ``extra`` are more header lines, each with its CRLF."""
    return REQUEST.format(path=path, extra=extra).encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = MASK) -> bytes:
    """Return a frame, by the book and independent of the code under test (RFC 6455 §5.2)."""
    first = (0x80 if fin else 0) | rsv | opcode
    bit = 0x80 if mask is not None else 0
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def read_frame(recv: Callable[[int], bytes]) -> tuple[int, bytes]:
    """Read one unmasked, unfragmented frame; returns ``(opcode, payload)``. ``(-1, b"")`` at the end of the stream."""

    def exactly(count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            more = recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    try:
        first, second = exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", exactly(8))
        return first & 15, exactly(size)
    except (EOFError, ConnectionError):
        return -1, b""


def read_head(recv: Callable[[int], bytes]) -> bytes:
    """Read up to the end of an HTTP head, no byte further."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = recv(1)
        if not byte:
            break
        head += byte
    return head


def wait_for_port(port: int, seconds: float = 15) -> None:
    """Wait until something listens on a port of the loopback address."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
