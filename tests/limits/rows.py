"""The limits of what a peer sends, as rows: what is still taken, and the least that is not."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.net import KEY, frame, request
from wsdriver import PermessageDeflate
from wsdriver.extensions import ClientSession, Extension, ServerSession

BINARY = 2
TEXT = 1
PING = 9

HIXIE_75 = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: http://localhost\r\n\r\n"
HIXIE_76 = (
    HIXIE_75[:-2]
    + b"Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U"
)

#: Of the right request and of its answer.
FIELDS = 5

#: Where the options are those of everybody.
DEFAULT = None


@dataclass(frozen=True)
class Row:
    """One limit of a server.

    Attributes:
        name: of the row.
        limit: the name of the limit, which the error has to tell.
        value: what the option is set to; DEFAULT leaves it alone.
        most: what the limit is.
        make: the bytes that come up to so much of it.
        outcome: one past it: the status of the answer, or the close code.
        options: others that it needs.
        opening: the request before those bytes.
    """

    name: str
    limit: str
    value: int | None
    most: int
    make: Callable[[int], bytes]
    outcome: int
    options: dict[str, Any]
    opening: bytes = request()

    @property
    def given(self) -> dict[str, Any]:
        """All options."""
        return self.options if self.value is DEFAULT else {self.limit: self.value, **self.options}


def row(name: str, limit: str, most: int, make: Callable[[int], bytes], outcome: int, **more: Any) -> Row:
    """Return a row whose limit is set to ``most``, unless ``value`` is given."""
    opening = more.pop("opening", request())
    value = more.pop("value", most)
    return Row(name, limit, value, most, make, outcome, more, opening)


def head_of(size: int) -> bytes:
    """Return a right request of so many bytes."""
    empty = len(request("/", "X-Long: \r\n"))
    return request("/", f"X-Long: {'x' * (size - empty)}\r\n")


def fields(count: int) -> bytes:
    """Return a right request with so many header fields."""
    return request("/", "X-A: b\r\n" * (count - FIELDS))


def odd_fields(count: int) -> bytes:
    """Return one that is not read in the short way for plain requests."""
    return request("/", "X-A: b\r\n" * (count - FIELDS - 1) + "X-Odd: \x80\r\n").replace(b"Host: ", b"HOST:\t")


def in_two(size: int) -> bytes:
    """Return a message of two frames."""
    return frame(BINARY, b"a" * (size // 2), fin=False) + frame(0, b"b" * (size - size // 2))


def declared(size: int) -> bytes:
    """Return the head of a frame, of which no more comes."""
    return frame(BINARY, b"")[:1] + (0x80 | 127).to_bytes(1, "big") + size.to_bytes(8, "big")


def packed(data: bytes, level: int = 9) -> bytes:
    """Compress a message (RFC 7692 §7.2.1)."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -12)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def bomb(size: int) -> bytes:
    """Return a small compressed message that becomes so large."""
    return frame(BINARY, packed(bytes(size)), rsv=0x40)


def fragments(count: int) -> bytes:
    """Return a message of so many empty frames."""
    return frame(TEXT, fin=False) + frame(0, fin=False) * (count - 2) + frame(0)


def offer(count: int) -> bytes:
    """Return a request that offers an extension with so many parameters."""
    return request("/", f"Sec-WebSocket-Extensions: x-any{''.join(f'; p{i}' for i in range(count))}\r\n")


def offers(count: int) -> bytes:
    """Return a request that offers so many extensions."""
    return request("/", f"Sec-WebSocket-Extensions: {', '.join(['x-any'] * count)}\r\n")


def hixie_text(size: int) -> bytes:
    """Return a text of the old framing."""
    return b"\x00" + b"a" * size + b"\xff"


def hixie_dropped(size: int) -> bytes:
    """Return the type and the length of a frame of the old framing that is dropped; of the frame, all but the end."""
    return b"\x80" + bytes([0x80 | size >> 7, size & 0x7F]) + bytes(size)


def hixie_length(count: int) -> bytes:
    """Return a frame of the old framing whose length, 0, has so many bytes."""
    return b"\x80" + b"\x80" * (count - 1) + (b"\x00" if count <= 10 else b"")


class AnySession(ClientSession, ServerSession):
    """A session that agrees to everything, and does nothing."""

    __slots__ = ()

    def activate(self, params: Any) -> bool:
        return True


class AnyExtension(Extension):
    """An extension whose parameters mean nothing."""

    name = "x-any"

    def create_client_session(self) -> ClientSession:
        return AnySession()

    def create_server_session(self, offers: Any) -> ServerSession:
        return AnySession()


ANY = [AnyExtension()]
DEFLATE = {
    "extensions": [PermessageDeflate()],
    "opening": request("/", "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"),
}
NOTHING = b""

#: Of the opening handshake: the whole of it is what is sent.
OPENING = [
    row("head", "max_head_size", 512, head_of, 431, opening=NOTHING),
    row("head, wide", "max_head_size", 100_000, head_of, 431, opening=NOTHING),
    row("head, by default", "max_head_size", 32 * 1024, head_of, 431, opening=NOTHING, value=DEFAULT),
    row("headers", "max_headers", 20, fields, 431, opening=NOTHING),
    row("headers, wide", "max_headers", 500, fields, 431, opening=NOTHING),
    row("headers, by default", "max_headers", 128, fields, 431, opening=NOTHING, value=DEFAULT),
    row("headers, read the long way", "max_headers", 128, odd_fields, 431, opening=NOTHING, value=DEFAULT),
    row("headers, with origins", "max_headers", 128, fields, 431, opening=NOTHING, value=DEFAULT, origins="same"),
    row("parameters", "max_extension_parameters", 3, offer, 400, opening=NOTHING, extensions=ANY),
    row(
        "parameters, by default", "max_extension_parameters", 64, offer, 400,
        opening=NOTHING, value=DEFAULT, extensions=ANY,
    ),
    row("extensions", "Sec-WebSocket-Extensions", 64, offers, 400, opening=NOTHING, value=DEFAULT, extensions=ANY),
]  # fmt: skip

#: Of messages.
MESSAGES = [
    row("frame", "max_length", 1000, lambda n: frame(BINARY, b"a" * n), 1009),
    row("text", "max_length", 1000, lambda n: frame(TEXT, b"a" * n), 1009),
    row("message of two frames", "max_length", 1000, in_two, 1009),
    row("frame that never comes", "max_length", 70_000, declared, 1009),
    row("inflated message", "max_length", 100_000, bomb, 1009, **DEFLATE),
    row("fragments", "max_fragments", 5, fragments, 1009),
    row("fragments, by default", "max_fragments", 131072, fragments, 1009, value=DEFAULT),
    row("ping", "125 bytes", 125, lambda n: frame(PING, b"a" * n), 1002, value=DEFAULT),
]

#: Of messages of the versions that have no close codes on the wire.
OLD_MESSAGES = [
    row("hixie-75 text", "max_length", 1000, hixie_text, 1009, opening=HIXIE_75),
    row("hixie-76 text", "max_length", 1000, hixie_text, 1009, opening=HIXIE_76),
    row("hixie-76 frame to drop", "max_length", 1000, hixie_dropped, 1009, opening=HIXIE_76),
    row("hixie-76 length", "10 bytes", 10, hixie_length, 1002, opening=HIXIE_76, value=DEFAULT),
]

__all__ = ["ANY", "HIXIE_75", "HIXIE_76", "KEY", "MESSAGES", "OLD_MESSAGES", "OPENING", "Row", "bomb", "packed"]
