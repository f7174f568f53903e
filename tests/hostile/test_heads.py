"""Requests of a hostile client: against the driver alone, and against a server in a process that is looked at."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import pytest

import wsdriver
from tests.hostile.peers import BOUND, PATIENCE, Attacker, Victim, undisturbed
from tests.support.driving import new_server
from tests.support.net import KEY, request

LINES = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}

#: More bytes than any head may have, with what may be on its way.
ENOUGH = 16 * 1024 * 1024


@dataclass(frozen=True)
class Head:
    """One request.

    Attributes:
        name: what is hostile in it.
        needs: the rows of :mod:`tests.hostile.rows` that it is for.
        chunks: makes what is sent; it may be endless.
        status: of the answer.
        pace: whether each chunk is to arrive by itself.
    """

    name: str
    needs: tuple[str, ...]
    chunks: Callable[[], Iterable[bytes]]
    status: int = 400
    pace: bool = False

    def __str__(self) -> str:
        return self.name


def head(add: bytes = b"", first: str = "GET / HTTP/1.1", **replace: str | bytes) -> Callable[[], list[bytes]]:
    """A right request, but for what is given: more lines, other values (``Sec_WebSocket_Key=``)."""

    def chunks() -> list[bytes]:
        fields: dict[str, str | bytes] = {**LINES, **{name.replace("_", "-"): value for name, value in replace.items()}}
        lines = [first.encode()]
        for name, value in fields.items():
            lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
        return [b"\r\n".join([*lines, b""]) + add + b"\r\n"]

    return chunks


def behind(rest: bytes, make: Callable[[], list[bytes]]) -> Callable[[], list[bytes]]:
    """A request with something behind it, in the same segment."""
    return lambda: [make()[0] + rest]


def whole(data: bytes) -> Callable[[], list[bytes]]:
    """These very bytes."""
    return lambda: [data]


def endless(begin: bytes, again: bytes) -> Callable[[], Iterator[bytes]]:
    """A beginning, then the same for ever."""
    return lambda: itertools.chain([begin], itertools.repeat(again))


FIRST = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
SMUGGLED = b"GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMUGGLING = ("CVE-2026-69243", "CVE-2026-2833")
CONFUSION = ("CVE-2024-1135", "CVE-2024-6827", "CVE-2023-41419")
SMALL_HEADERS = b"".join(b"%c%c: 1\r\n" % (97 + i % 26, 97 + i // 26 % 26) for i in range(2000))

HOSTS = [
    "[",
    "[::1",
    "a:b",
    "a:99999",
    "a:-1",
    "a:٣".encode(),
    "a b",
    "a/b?c#d",
    "x@y:1",
    "a\\b",
    "",
    "[::1]x",
    "a:1:2",
]

HEADS = [
    # --- without end
    Head("X-a: b for ever", ("CVE-2026-54465",), endless(FIRST, b"X-a: b\r\n"), 431),
    Head("X-a: b for ever, 1000 a segment", ("CVE-2026-54465",), endless(FIRST, b"X-a: b\r\n" * 1000), 431),
    Head("one line for ever", ("CVE-2026-54465",), endless(FIRST + b"X-a: ", b"b" * 1000), 431),
    Head("a target for ever", ("CVE-2026-54465",), endless(b"GET /", b"x" * 1000), 431),
    Head("2000 headers, then Upgrade", ("CVE-2024-37890",), head(SMALL_HEADERS), 431),
    Head(
        "2000 headers, then Upgrade, in 1000 pieces",
        ("CVE-2024-37890",),
        lambda: (whole_head[i : i + 14] for whole_head in head(SMALL_HEADERS)() for i in range(0, len(whole_head), 14)),
        431,
    ),
    Head(
        "one long header in small packets",
        ("CVE-2023-43669",),
        lambda: itertools.chain([FIRST + b"X-a: "], itertools.repeat(b"x" * 32)),
        431,
        pace=True,
    ),
    # --- the host
    *(Head(f"the host {host!r}", ("CVE-2026-61666",), head(Host=host)) for host in HOSTS),
    # --- lists
    Head(
        "an extension with an unclosed quote",
        ("CVE-2020-7662", "CVE-2020-7663"),
        head(b'Sec-WebSocket-Extensions: a; b="' + rb"\c" * 10_000 + b"\r\n"),
    ),
    Head(
        "1000 extensions",
        ("CVE-2020-7662", "CVE-2020-7663"),
        head(b"Sec-WebSocket-Extensions: " + b"a," * 1000 + b"\r\n"),
    ),
    Head(
        "a protocol behind 16,000 spaces",
        ("CVE-2021-32640", "seed: split on Sec-WebSocket-Protocol"),
        head(b"Sec-WebSocket-Protocol: b" + b" " * 16_000 + b"x\r\n"),
        101,
    ),
    Head("16,000 commas", ("CVE-2021-32640",), head(b"Sec-WebSocket-Protocol: " + b"," * 16_000 + b"\r\n"), 101),
    # --- a body, or another request behind
    Head("a body", SMUGGLING, behind(b"hello", head(b"Content-Length: 5\r\n"))),
    Head("a request as a body", SMUGGLING, behind(SMUGGLED, head(b"Content-Length: %d\r\n" % len(SMUGGLED)))),
    Head("a request in chunks", SMUGGLING, behind(b"0\r\n\r\n" + SMUGGLED, head(b"Transfer-Encoding: chunked\r\n"))),
    *(
        Head(f"the header {line.decode('latin-1')!r}", CONFUSION, behind(SMUGGLED, head(line + b"\r\n")), status)
        for line, status in (
            (b"Transfer-Encoding: chunked", 400),
            (b"Transfer-Encoding: xchunked", 501),
            (b"Transfer-Encoding: chunked, identity", 501),
            (b"Transfer-Encoding: identity", 501),
            (b"Transfer-Encoding:", 501),
            (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 501),
            (b"Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
            (b"Content-Length: 5\r\nContent-Length: 6", 400),
            (b"Content-Length: 5, 6", 400),
            (b"Content-Length: -1", 400),
            (b"Content-Length: +5", 400),
            (b"Content-Length: 0x5", 400),
            (b"Content-Length: 5_0", 400),
            (b"Content-Length: \xb2", 400),
            (b"X-a: b\r\n folded", 400),
            (b"X-a: b\n", 400),
            (b"X-a : b", 400),
            (b"X-a: b\0c", 400),
            (b"X-a: b\rc", 400),
            (b"X-a: b\x01c", 400),
            (b"X-a: b\x7fc", 400),
            (b" X-a: b", 400),
            (b"X a: b", 400),
            (b": b", 400),
            (b"X-a", 400),
            (b"X-\xe9: b", 400),
            (b"Host: other", 400),
            (b"Host: localhost", 400),
            (b"Sec-WebSocket-Key: " + KEY.encode(), 400),
            (b"Sec-WebSocket-Version: 8", 426),
        )
    ),
    # --- kin: what is no HTTP/1.1 at all
    Head("HTTP/1.0", ("kin: first lines",), head(first="GET / HTTP/1.0")),
    Head("HTTP/2.0", ("kin: first lines",), head(first="GET / HTTP/2.0"), 400),
    Head("POST", ("kin: first lines",), head(first="POST / HTTP/1.1")),
    Head("HTTP/2 from the start", ("kin: first lines",), whole(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
    Head("a target with a space", ("kin: first lines",), head(first="GET /a b HTTP/1.1")),
    Head("a target that is none", ("kin: first lines",), head(first="GET * HTTP/1.1")),
    Head("empty lines before", ("kin: first lines",), whole(b"\r\n\r\n" + request())),
    Head("TLS", ("kin: first lines",), whole(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500))),
    Head(
        "a head of the PROXY protocol",
        ("kin: PROXY protocol",),
        whole(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + request()),
    ),
    # --- kin: the same in the old versions
    *(
        Head(
            f"the host {host!r} in {version}",
            ("kin: old versions",),
            whole(
                b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: "
                + host
                + keys
                + b"\r\n\r\n12345678"
            ),
        )
        for version, keys in (
            ("hixie-75", b""),
            ("hixie-76", b"\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00"),
        )
        for host in (b"[", b"a:99999", b"a/b")
    ),
    *(
        Head(
            f"a number of hixie-76 {what}",
            ("kin: old versions",),
            whole(
                b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\n"
                b"Sec-WebSocket-Key1: " + number + b"\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n12345678"
            ),
        )
        for what, number in (
            ("of 20,000 digits", b"1 " + b"9" * 20_000),
            ("without spaces, to be divided by none", b"12345"),
            ("without digits", b"a b"),
        )
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Victim]:
    """A server that has been spoken to."""
    victim = Victim("server")
    try:
        with wsdriver.connect(f"ws://127.0.0.1:{victim.port}/") as ws:
            ws.send("x")
            assert ws.receive(PATIENCE) == "1"
        assert victim.ending()[0] == 1000
        victim.take_note()
        yield victim
    finally:
        victim.stop()


def statuses(said: bytes) -> list[int]:
    """The statuses of all answers: a second one is for a request that was smuggled in."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", said)]


@pytest.mark.parametrize("attack", HEADS, ids=str)
def test_driver_answers_with_the_status_and_keeps_nothing(attack: Head) -> None:
    session = new_server(extensions=[wsdriver.PermessageDeflate()])
    session.driver.on("connect", lambda _: session.driver.start())
    fed = 0
    for chunk in islice(attack.chunks(), 20_000):
        fed += len(chunk)
        session.parse(chunk)
        if session.driver.state != "connecting":
            break
    assert fed < ENOUGH
    said = session.wire.take()
    assert statuses(said) == [attack.status], said[:200]
    if attack.status != 101:
        assert isinstance(session.error, wsdriver.HandshakeError)
        assert session.driver.state == "closed"
        assert len(session.driver.body) == 0


@pytest.mark.parametrize("attack", HEADS, ids=str)
def test_server_answers_with_the_status_and_serves_on(attack: Head, server: Victim) -> None:
    with undisturbed(server.port):
        attacker = Attacker.connected(server.port)
        sent = attacker.pour(attack.chunks(), attack.pace)
        if attack.status == 101:
            attacker.sock.sendall(struct.pack("!BB4sH", 0x88, 0x82, bytes(4), 1000))
        said = attacker.end()
        if attack.status == 101:
            assert server.ending()[0] == 1000
    assert server.ending()[0] == 1000
    assert statuses(said) == [attack.status], said[:200]
    assert sent < ENOUGH
    assert server.grown <= BOUND
