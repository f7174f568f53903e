"""What holds for every version of the protocol, whatever its peer sends (RFC 6455 §10.6 and its like)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsdriver import Driver
from wsdriver.driver.versions import VERSIONS


@pytest.fixture(autouse=True, scope="module")
def _same_nonces() -> Iterator[None]:
    """In hybi-04 the server's random nonce decides what bytes mean."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secrets.token_bytes", lambda size: b"n" * size)
        yield


KEYS = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


def opening(name: str) -> bytes:
    """Return what a client of that version sends to open."""
    head = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://h\r\n"
    kind, number = name.split("-")
    if kind == "hixie":
        asked, body = (KEYS, b"^n:ds[4U") if number == "76" else ("", b"")
    elif int(number) < 4:
        asked, body = f"{KEYS}Sec-WebSocket-Draft: {number}\r\n", b"^n:ds[4U"
    else:
        asked, body = f"{KEY}Sec-WebSocket-Version: {number}\r\n", b""
    return f"{head}{asked}\r\n".encode() + body


class Host:
    """A server that echoes, and notes what it is told."""

    def __init__(self, **options: Any) -> None:
        self.sent = 0
        self.events: list[Any] = []
        self.driver = Driver.server(self, **options)
        self.driver.on("message", lambda event: self.events.append(event.data))
        self.driver.on("message", lambda event: self.echo(event.data))
        self.driver.on("error", lambda error: self.events.append(("error", str(error))))
        self.driver.on("close", lambda event: self.events.append(("close", event.code)))
        self.driver.start()

    def write(self, data: bytes) -> None:
        self.sent += len(data)

    def echo(self, data: str | bytes) -> None:
        if isinstance(data, str):
            self.driver.text(data)
        else:
            self.driver.binary(data)

    @property
    def closes(self) -> int:
        return sum(1 for event in self.events if isinstance(event, tuple) and event[0] == "close")


LARGE_FRAMES = {
    "hixie-75": b"\x00",
    "hixie-76": b"\x00",
    "hybi-5": b"\0\0\0\0" + b"\x85\x7f" + (100_000).to_bytes(8, "big"),
    "hybi-6": b"\0\0\0\0" + b"\x85\x7f" + (100_000).to_bytes(8, "big"),
}


@pytest.mark.parametrize("name", LARGE_FRAMES)
def test_version_whose_bytes_are_no_payloads_offers_no_room_for_them(name: str) -> None:
    host = Host()
    assert host.driver.room(2**20) is None
    host.driver.parse(opening(name))
    host.driver.parse(LARGE_FRAMES[name] + b"x" * 1000)
    assert (host.driver.version, host.driver.state) == (name, "open"), host.events
    assert host.driver.room(2**20) is None


@pytest.mark.parametrize("name", VERSIONS)
def test_version_opens(name: str) -> None:
    host = Host()
    host.driver.parse(opening(name))
    assert (host.driver.version, host.driver.state) == (name, "open")


@pytest.mark.parametrize("name", VERSIONS)
@given(chunks=st.lists(st.binary(max_size=60), max_size=12))
@settings(max_examples=80, deadline=None)
def test_any_bytes_raise_nothing_and_close_once_at_most(name: str, chunks: list[bytes]) -> None:
    host = Host(max_length=1000)
    host.driver.parse(opening(name))
    for chunk in chunks:
        host.driver.parse(chunk)
    assert host.closes <= 1
    host.driver.eof()
    assert host.closes == 1
    assert isinstance(host.events[-1], tuple)
    assert host.events[-1][0] == "close"


@pytest.mark.parametrize("name", VERSIONS)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=8))
@settings(max_examples=80, deadline=None)
def test_any_chunking_gives_the_same_events(name: str, data: bytes, cuts: list[int]) -> None:
    whole, parts = Host(max_length=1000), Host(max_length=1000)
    stream = opening(name) + data
    whole.driver.parse(stream)
    edges = sorted({0, len(stream), *(len(stream) - min(cut, len(stream)) for cut in cuts)})
    for start, end in pairwise(edges):
        parts.driver.parse(stream[start:end])
    assert parts.events == whole.events
    assert parts.driver.state == whole.driver.state
    assert parts.sent == whole.sent


@pytest.mark.parametrize("name", VERSIONS)
@pytest.mark.parametrize("byte", [b"\x00", b"\x80", b"\xff", b"a"])
def test_a_flood_of_one_byte_is_bounded(name: str, byte: bytes) -> None:
    """Endless lengths and texts (CVE-2026-54463 and its kin): an end comes, and nothing grows until then."""
    host = Host(max_length=1000)
    host.driver.parse(opening(name))
    for _ in range(64):
        host.driver.parse(byte * 4096)
    assert host.closes <= 1
    assert sum(len(event) for event in host.events if isinstance(event, (str, bytes))) <= 64 * 4096
