"""Time linear in the bytes received: four times the bytes take about four times as long, and not sixteen times.

Work is not counted but measured, as CPU time of this thread, at its best of some runs; what is quadratic misses the
generous bound all the same.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import pytest

import wsdriver
from tests.hostile.frames import bomb
from tests.support.driving import new_server, open_session
from tests.support.net import MASK, frame, request
from wsdriver.exceptions import ExtensionError, HandshakeError
from wsdriver.extensions.header import parse as parse_extensions
from wsdriver.forwarded import forwarded_client
from wsdriver.framing.unmasking import FrameUnmasker
from wsdriver.http import HeadReader, parse_host, split_tokens
from wsdriver.proxy_protocol import ProxyHeadReader

#: How much longer four times as many bytes may take.
FACTOR = 10.0

#: Seconds below which a measurement says nothing.
NOISE = 0.002


def singly(session: object, data: bytes) -> None:
    """Feed single bytes."""
    parse = session.driver.parse  # type: ignore[attr-defined]
    for index in range(len(data)):
        parse(data[index : index + 1])


def fragments(side: str, count: int) -> None:
    session = open_session(side)
    mask = MASK if side == "server" else None
    session.parse(frame(1, b"x", fin=False, mask=mask) + frame(0, b"x", fin=False, mask=mask) * (count - 1))
    session.parse(frame(0, b"", mask=mask))
    assert len(session.messages[0]) == count


def segments(side: str, count: int) -> None:
    session = open_session(side)
    singly(session, frame(2, bytes(count), mask=MASK if side == "server" else None))
    assert len(session.messages[0]) == count


def hixie_segments(count: int) -> None:
    session = new_server()
    session.driver.on("connect", lambda _: session.driver.start())
    session.parse(b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\n\r\n")
    singly(session, b"\x00" + b"x" * count + b"\xff")
    assert len(session.messages[0]) == count


def controls(count: int) -> None:
    session = open_session("server")
    session.driver.on("ping", lambda event: None)
    session.parse(frame(9, b"x") * count)


def inflated(count: int) -> None:
    session = new_server(extensions=[wsdriver.PermessageDeflate()])
    session.parse(request(extra="Sec-WebSocket-Extensions: permessage-deflate\r\n"))
    session.driver.start()
    session.parse(frame(2, bomb(count), rsv=0x40))
    assert len(session.messages[0]) == count


def packed_segments(count: int) -> None:
    session = new_server(extensions=[wsdriver.PermessageDeflate()])
    session.parse(request(extra="Sec-WebSocket-Extensions: permessage-deflate\r\n"))
    session.driver.start()
    # A stored block is as long as what it holds.
    data = b"\x00" + count.to_bytes(2, "little") + (count ^ 0xFFFF).to_bytes(2, "little") + bytes(count) + b"\x00"
    singly(session, frame(2, data, rsv=0x40))
    assert len(session.messages[0]) == count


def extensions(text: str) -> Callable[[int], None]:
    def run(count: int) -> None:
        try:
            parse_extensions('a; b="' + text * count)
        except ExtensionError:
            pass

    return run


def head(count: int) -> None:
    reader = HeadReader(max_size=1 << 30)
    reader.feed(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(count):
        reader.feed(b"x")


def old_frames(count: int) -> None:
    FrameUnmasker(None).feed((MASK + bytes(a ^ b for a, b in zip(b"\x84\x00", MASK, strict=False))) * count)


def proxy_head(count: int) -> None:
    for _ in range(count // 100):
        reader = ProxyHeadReader()
        try:
            for _ in range(200):
                reader.feed(
                    b"P" if not reader._buffer else b"ROXY "[len(reader._buffer) - 1 : len(reader._buffer)] or b"x"
                )
        except HandshakeError:
            pass


def host(count: int) -> None:
    with pytest.raises(HandshakeError):
        parse_host("a" * count + "/")


#: What is done N and 4 N times, with a good N, and the rows that it is for.
WORK: dict[str, tuple[tuple[str, ...], Callable[[int], object], int]] = {
    "fragments of 1 byte, server": (
        ("CVE-2026-65623", "CVE-2026-48779"),
        lambda count: fragments("server", count),
        20_000,
    ),
    "fragments of 1 byte, client": (("CVE-2026-65623",), lambda count: fragments("client", count), 20_000),
    "segments of 1 byte, server": (("CVE-2026-123817",), lambda count: segments("server", count), 15_000),
    "segments of 1 byte, client": (("CVE-2026-123817",), lambda count: segments("client", count), 15_000),
    "segments of 1 byte, hixie": (("CVE-2026-123817",), hixie_segments, 4_000),
    "segments of 1 byte, packed": (("CVE-2026-123817",), packed_segments, 15_000),
    "pings": (("CVE-2026-11586",), controls, 3_000),
    "inflated zeros": (("CVE-2026-54464",), inflated, 2_000_000),
    "an unclosed quote": (("CVE-2020-7662", "CVE-2020-7663"), extensions(r"\c"), 5_000),
    "an unclosed quote with quotes": (("CVE-2020-7662", "CVE-2020-7663"), extensions(r"\""), 5_000),
    "spaces in a list": (
        ("CVE-2021-32640", "seed: split on Sec-WebSocket-Protocol"),
        lambda count: [split_tokens("b" + " " * count + "x") for _ in range(20)],
        64_000,
    ),
    "commas in a list": (("CVE-2021-32640",), lambda count: split_tokens(" ," * count), 20_000),
    "a head in single bytes": (("CVE-2023-43669",), head, 5_000),
    "a long host": (("CVE-2026-61666",), host, 100_000),
    "frames of old versions": (("kin: old versions",), old_frames, 2_000),
    "heads of the PROXY protocol in single bytes": (("kin: PROXY protocol",), proxy_head, 3_000),
    "addresses in X-Forwarded-For": (
        ("kin: forwarded headers",),
        lambda count: forwarded_client(["10.0.0.1," * count], ["10.0.0.0/8"]),
        2_000,
    ),
    "commas in X-Forwarded-For": (
        ("kin: forwarded headers",),
        lambda count: [forwarded_client(["," * count], "*") for _ in range(20)],
        20_000,
    ),
}


def seconds(work: Callable[[int], object], count: int) -> float:
    """The least CPU time of some runs."""
    best = float("inf")
    for _ in range(3):
        gc.collect()
        began = time.thread_time()
        work(count)
        best = min(best, time.thread_time() - began)
        if best > 0.05:
            break
    return best


@pytest.mark.parametrize("name", WORK)
def test_time_is_linear(name: str) -> None:
    _, work, count = WORK[name]
    work(count)
    # (A neighbour may have had the cache in one of the two: a second look is allowed.)
    for _ in range(3):
        once, more = max(seconds(work, count), NOISE), seconds(work, 4 * count)
        if more <= FACTOR * once:
            return
    pytest.fail(f"{name}: {count} take {once:.4f} s, {4 * count} take {more:.4f} s")
