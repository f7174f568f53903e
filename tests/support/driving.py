"""Driving a driver: a wire, a record of its events, vectors, and ways to cut bytes into chunks.

Nothing here uses the code under test to make or to read bytes.

A frame in a vector file is one of

- ``"81 05 48 ..."``: raw bytes in hex;
- ``["81", payload]``: the first byte in hex, and the payload; the length in its shortest form; masked where the side
  under test is the server;
- ``{"first": "81", "length": "7e 00 05", "payload": ..., "masked": true}``: the length as given (without the mask
  bit, whatever the payload has), and the mask where ``masked`` says so.

A payload is a str (UTF-8), ``{"hex": "c3 28"}`` or ``{"fill": "61", "size": 126}``. In an event a str stands for text,
and the other two for bytes; ping and pong always have bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.net import KEY, MASK, frame, request
from wsdriver import Driver

VECTORS = Path(__file__).resolve().parent.parent / "vectors"

EVENTS = ("connect", "open", "message", "ping", "pong", "error", "close")

#: What a listener saw: the event's name and what it carried.
Seen: TypeAlias = tuple[Any, ...]
Chunk: TypeAlias = "bytes | bytearray | memoryview"

#: RFC 6455 §1.3: the answer to ``KEY``.
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def accept_for(key: str) -> str:
    """Compute the answer to a key, by RFC 6455 §4.2.2 item 5.4."""
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return base64.b64encode(hashlib.sha1((key + guid).encode(), usedforsecurity=False).digest()).decode()


# --- a driver and all it does ----------------------------------------------------------------------------------------


class Wire:
    """What a driver is given: a URL, an environ, and a place for its bytes."""

    def __init__(self, url: str = "ws://localhost/", environ: dict[str, Any] | None = None) -> None:
        self.url = url
        self.environ = environ
        self.base_environ: dict[str, Any] = {}
        self.sent = b""

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data, "an empty write is a system call for nothing"
        self.sent += data

    def take(self) -> bytes:
        """Return what was written since the last time."""
        sent, self.sent = self.sent, b""
        return sent


@dataclass
class Session:
    """A driver, its wire, and its events in the order in which they came.

    ``hook`` is called after each event is recorded: a listener that does something.
    """

    driver: Driver
    wire: Wire
    side: str
    events: list[Seen] = field(default_factory=list)
    hook: Callable[[Session, Seen], object] | None = None

    def __post_init__(self) -> None:
        for name in EVENTS:
            self.driver.on(name, self._listener(name))

    def _listener(self, name: str) -> Callable[[Any], None]:
        def listener(event: Any) -> None:
            seen = describe(name, event)
            self.events.append(seen)
            if self.hook is not None:
                self.hook(self, seen)

        return listener

    @property
    def names(self) -> list[str]:
        return [event[0] for event in self.events]

    @property
    def messages(self) -> list[str | bytes]:
        return [event[1] for event in self.events if event[0] == "message"]

    @property
    def closes(self) -> list[Seen]:
        return [event for event in self.events if event[0] == "close"]

    @property
    def error(self) -> Exception:
        """The one error that was reported."""
        (error,) = (event[1] for event in self.events if event[0] == "error")
        assert isinstance(error, Exception)
        return error

    def parse(self, *chunks: Chunk) -> Session:
        return self.replay(chunks)

    def replay(self, chunks: Iterable[Chunk]) -> Session:
        """Parse chunks, each before the next one is made."""
        for chunk in chunks:
            self.driver.parse(chunk)
        return self

    def frame(self, opcode: int, payload: bytes = b"", **kwargs: Any) -> bytes:
        """Return a frame from this driver's peer."""
        return frame(opcode, payload, mask=MASK if self.side != "client" else None, **kwargs)

    def take_frames(self) -> list[tuple[int, bytes]]:
        """Return the frames that were written since the last time."""
        return unframe(self.wire.take(), masked=self.side == "client")

    def forget(self) -> Session:
        """Drop what was seen and sent so far."""
        self.events.clear()
        self.wire.take()
        return self


def describe(name: str, event: Any) -> Seen:
    """Return an event as a tuple that can be compared; an error stays the exception that it is."""
    if name in ("message", "ping", "pong"):
        return (name, event.data)
    if name == "error":
        return (name, event)
    if name == "close":
        return (name, event.code, event.reason, event.was_clean)
    return (name,)


def comparable(events: Iterable[Seen]) -> list[Seen]:
    """Return events without the identity of the exceptions."""
    return [
        (event[0], type(event[1]), str(event[1]), getattr(event[1], "code", None), getattr(event[1], "status", None))
        if event[0] == "error"
        else event
        for event in events
    ]


def new_server(**options: Any) -> Session:
    """Return a server's driver before any byte came."""
    wire = Wire()
    return Session(Driver.server(wire, **options), wire, "server")


def new_wsgi(environ: dict[str, Any] | None = None, **options: Any) -> Session:
    """Return a server's driver for a request that was read already."""
    wire = Wire(environ=wsgi_environ() if environ is None else environ)
    return Session(Driver.wsgi(wire, **options), wire, "wsgi")


def new_client(url: str = "ws://localhost/", **options: Any) -> Session:
    """Return a client's driver before it has asked."""
    wire = Wire(url)
    return Session(Driver.client(wire, **options), wire, "client")


def start_client(url: str = "ws://localhost/", **options: Any) -> tuple[Session, bytes]:
    """Return a client's driver that has asked, and a right answer."""
    session = new_client(url, **options)
    assert session.driver.start() is True
    return session, answer(sent_key(session.wire.take()))


def open_session(side: str, **options: Any) -> Session:
    """Return a driver that is open: ``'server'``, ``'wsgi'`` or ``'client'``; nothing is recorded yet."""
    if side == "client":
        session, reply = start_client(**options)
        session.parse(reply)
    elif side == "wsgi":
        session = new_wsgi(**options)
        session.driver.start()
    else:
        session = new_server(**options)
        session.parse(request())
        session.driver.start()
    assert session.driver.state == "open"
    return session.forget()


def sent_key(head: bytes) -> str:
    """Return the key in a request."""
    (line,) = (line for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-key:"))
    return line.partition(":")[2].strip()


def answer(key: str, extra: str = "") -> bytes:
    """Return a right answer to a request with that key."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_for(key)}\r\n{extra}\r\n"
    ).encode("latin-1")


def wsgi_environ(head: bytes | None = None) -> dict[str, Any]:
    """Return the environ that a WSGI server makes of a request (PEP 3333); of a right WebSocket request by default."""
    lines = (request() if head is None else head).decode("latin-1").split("\r\n")
    method, target, protocol = lines[0].split(" ")
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": protocol,
        "wsgi.url_scheme": "http",
    }
    for line in filter(None, lines[1:]):
        name, _, value = line.partition(":")
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        value = value.strip(" \t")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def parse_head(head: bytes) -> tuple[str, dict[str, str]]:
    """Take a head apart: the first line, and the header fields by lower-case name, none of them twice."""
    assert head.endswith(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    fields = [line.split(": ", 1) for line in lines]
    names = [name.lower() for name, _ in fields]
    assert len(set(names)) == len(names), f"a field is there twice: {names}"
    return first, {name.lower(): value for name, value in fields}


def split_head(data: bytes) -> tuple[bytes, bytes]:
    """Return a head and what is behind it."""
    head, end, rest = data.partition(b"\r\n\r\n")
    assert end
    return head + end, rest


def unframe(data: bytes, *, masked: bool) -> list[tuple[int, bytes]]:
    """Read whole frames, by the book: (first byte, payload); the length forms and the masks are checked."""
    frames = []
    while data:
        first, second = data[0], data[1]
        assert bool(second & 0x80) is masked, "a client masks, a server does not (RFC 6455 §5.1)"
        size, at = second & 0x7F, 2
        if size == 126:
            (size,) = struct.unpack_from("!H", data, 2)
            at = 4
            assert size >= 126
        elif size == 127:
            (size,) = struct.unpack_from("!Q", data, 2)
            at = 10
            assert size >= 65536
        if masked:
            key = data[at : at + 4]
            at += 4
            payload = naive_mask(data[at : at + size], key)
        else:
            payload = data[at : at + size]
        assert len(payload) == size, "half a frame was written"
        frames.append((first, payload))
        data = data[at + size :]
    return frames


def naive_mask(data: bytes, key: bytes, offset: int = 0) -> bytes:
    """RFC 6455 §5.3 as it stands there."""
    return bytes(byte ^ key[(offset + i) % 4] for i, byte in enumerate(data))


# --- chunks ----------------------------------------------------------------------------------------------------------

CHUNKINGS = ("whole", "bytes", "random", "bytearray", "memoryview")

#: Bytes of a vector that are given one by one; the rest of a long one comes in larger pieces.
SINGLE = 400


def cut(data: bytes, how: str, seed: str = "") -> Iterator[Chunk]:
    """Yield ``data`` in chunks, in one of the ways of ``CHUNKINGS``."""
    if how == "whole":
        yield data
    elif how == "bytes":
        head = len(data) if len(data) <= 2 * SINGLE else SINGLE
        yield from (data[i : i + 1] for i in range(head))
        step = max(1, len(data) // SINGLE)
        yield from (data[i : i + step] for i in range(head, len(data), step))
    elif how == "random":
        rng = random.Random(seed)
        yield from pieces(data, sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 8))))
    elif how == "bytearray":
        # One buffer for all, as a host that reads with recv_into has it: what is kept must be copied.
        scratch = bytearray(data[: max(1, len(data) // 2)])
        yield scratch
        rest = data[len(scratch) :]
        scratch[:] = b"\xff" * len(scratch)
        scratch[:] = rest
        yield scratch
        assert scratch == rest, "parse() changed its input"
    else:
        middle = len(data) // 3
        view = memoryview(bytearray(data))
        yield view[:middle]
        yield view[middle:]
        assert view == data, "parse() changed its input"


def pieces(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """Yield ``data`` cut at those offsets, which are in order."""
    last = 0
    for at in cuts:
        yield data[last:at]
        last = at
    yield data[last:]


# --- vector files ----------------------------------------------------------------------------------------------------


def load_vectors(name: str) -> list[dict[str, Any]]:
    """Return the vectors of a file; their names are checked to be distinct."""
    vectors: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    names = [vector["name"] for vector in vectors]
    assert len(set(names)) == len(names), f"a name is there twice in {name}.json"
    return vectors


def said(vector: dict[str, Any], side: str) -> bytes:
    """Return all that one side of a recorded conversation said."""
    data = b""
    for who, part in vector["exchange"]:
        if who == side:
            data += bytes.fromhex(part) if isinstance(part, str) else zlib.decompress(base64.b64decode(part["zlib"]))
    return data


REQUEST_LINES = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
RESPONSE_LINES = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": "{accept}"}


def head_of(vector: dict[str, Any], key: str | None = None) -> bytes:
    """Return the bytes of a vector's head: of a request, or of the response to ``key``.

    ``raw`` is all of it (latin-1). Else a right head is changed: ``first`` is the first line, ``replace`` gives other
    values, ``without`` leaves out, ``add`` are more lines. In a response ``{accept}`` and ``{key}`` are put in.
    """
    if "raw" in vector:
        text = vector["raw"]
    else:
        first = "GET / HTTP/1.1" if key is None else "HTTP/1.1 101 Switching Protocols"
        fields = {**(REQUEST_LINES if key is None else RESPONSE_LINES), **vector.get("replace", {})}
        lines = [f"{name}: {value}" for name, value in fields.items() if name not in vector.get("without", ())]
        text = "\r\n".join([vector.get("first", first), *lines, *vector.get("add", ()), "", ""])
    if key is not None:
        text = text.replace("{accept}", accept_for(key)).replace("{key}", key)
    return bytes(text, "latin-1")


def payload_of(value: Any) -> bytes:
    """Return the bytes of a payload in a vector."""
    if isinstance(value, str):
        return value.encode()
    if "hex" in value:
        return bytes.fromhex(value["hex"])
    return bytes.fromhex(value["fill"]) * int(value["size"])


def bytes_of(items: Iterable[Any], side: str) -> bytes:
    """Return the bytes of a vector's frames, as they come in at that side."""
    data = b""
    for item in items:
        if isinstance(item, str):
            data += bytes.fromhex(item)
        elif isinstance(item, list):
            first = int(item[0], 16)
            mask = MASK if side == "server" else None
            data += frame(first & 15, payload_of(item[1]), fin=first >= 0x80, rsv=first & 0x70, mask=mask)
        else:
            length = bytearray.fromhex(item["length"])
            payload = payload_of(item.get("payload", ""))
            head = bytes.fromhex(item["first"])
            if item.get("masked", side == "server"):
                length[0] |= 0x80
                data += head + length + MASK + naive_mask(payload, MASK)
            else:
                data += head + length + payload
    return data


def events_of(items: Iterable[Any]) -> list[Seen]:
    """Return the events of a vector."""
    events: list[Seen] = []
    for name, *rest in items:
        if name == "message":
            events.append((name, rest[0] if isinstance(rest[0], str) else payload_of(rest[0])))
        elif name in ("ping", "pong"):
            events.append((name, payload_of(rest[0])))
        else:
            events.append((name, *rest))
    return events


__all__ = [
    "ACCEPT",
    "CHUNKINGS",
    "EVENTS",
    "KEY",
    "MASK",
    "Session",
    "Wire",
    "accept_for",
    "answer",
    "bytes_of",
    "comparable",
    "cut",
    "describe",
    "events_of",
    "frame",
    "head_of",
    "load_vectors",
    "naive_mask",
    "new_client",
    "new_server",
    "new_wsgi",
    "open_session",
    "parse_head",
    "payload_of",
    "pieces",
    "request",
    "said",
    "sent_key",
    "split_head",
    "start_client",
    "unframe",
    "wsgi_environ",
]
