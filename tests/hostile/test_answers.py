"""Answers of a hostile server, and of a hostile proxy: against the driver alone, and against a client's process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import pytest

import wsdriver
from tests.hostile.peers import BOUND, Attacker, Victim, hostile_server, undisturbed
from tests.support.driving import accept_for, new_client, sent_key

#: More bytes than any head may have.
ENOUGH = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        name: what is hostile in it.
        needs: the rows of :mod:`tests.hostile.rows` that it is for.
        chunks: of the right Sec-WebSocket-Accept, makes what is sent; it may be endless.
        said: a part of the error's text.
        proxies: whether a proxy may answer so to CONNECT, too.
    """

    name: str
    needs: tuple[str, ...]
    chunks: Callable[[bytes], Iterable[bytes]]
    said: str
    proxies: bool = True

    def __str__(self) -> str:
        return self.name


START = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "


def answer(line: bytes) -> Callable[[bytes], list[bytes]]:
    """A right answer, with one line more."""
    return lambda accept: [START + accept + b"\r\n" + line + b"\r\n\r\n"]


def endless(again: bytes, begin: bytes = b"") -> Callable[[bytes], Iterator[bytes]]:
    """A right answer's first lines, or that, then the same for ever."""
    return lambda accept: itertools.chain([begin or START + accept + b"\r\n"], itertools.repeat(again))


def deflate(bits: str) -> Answer:
    """An answer that agrees to a window that cannot be."""
    return Answer(
        f"server_max_window_bits={bits}",
        ("CVE-2026-2229",),
        answer(b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=" + bits.encode()),
        "Sec-WebSocket-Extensions",
        proxies=False,
    )


BITS = ["0", "7", "16", "99999", "\uff11\uff15", "1_5", "+15", '" 15 "', "015", "-15", "15.0", "", '""', "\u0661\u0665"]
SMALL_HEADERS = b"\r\n".join(b"%c%c: 1" % (97 + i % 26, 97 + i // 26 % 26) for i in range(2000))
CONFUSION = ("CVE-2024-1135", "CVE-2024-6827", "CVE-2023-41419")

ANSWERS = [
    Answer("X-a: b for ever", ("CVE-2026-54465",), endless(b"X-a: b\r\n"), "longer than 32768 bytes"),
    Answer("X-a: b for ever, 1000 a segment", ("CVE-2026-54465",), endless(b"X-a: b\r\n" * 1000), "longer than"),
    Answer("one line for ever", ("CVE-2026-54465",), endless(b"b" * 1000), "longer than 32768 bytes"),
    Answer("a reason for ever", ("CVE-2026-54465",), endless(b"b" * 1000, b"HTTP/1.1 101 "), "longer than 32768 bytes"),
    Answer(
        "informational answers for ever",
        ("CVE-2026-54465",),
        endless(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\n\r\n"),
        "informational answers",
    ),
    Answer("2000 headers", ("CVE-2024-37890",), answer(SMALL_HEADERS), "more than 128 header fields"),
    Answer("one long header in small packets", ("CVE-2023-43669",), endless(b"x" * 32), "longer than 32768 bytes"),
    Answer(
        "an extension with an unclosed quote",
        ("CVE-2020-7662", "CVE-2020-7663"),
        answer(b'Sec-WebSocket-Extensions: a; b="' + rb"\c" * 10_000),
        "Sec-WebSocket-Extensions",
        proxies=False,
    ),
    Answer(
        "an extension that was not offered",
        ("CVE-2026-2229",),
        answer(b"Sec-WebSocket-Extensions: x-other"),
        "not offered",
        proxies=False,
    ),
    Answer(
        "a protocol behind 16,000 spaces",
        ("CVE-2021-32640",),
        answer(b"Sec-WebSocket-Protocol: b" + b" " * 16_000 + b"x"),
        "not offered",
        proxies=False,
    ),
    *(deflate(bits) for bits in BITS),
    *(
        Answer(f"the header {line.decode('latin-1')!r}", CONFUSION, answer(line), said)
        for line, said in (
            (b"X-a: b\r\n folded", "folded"),
            (b"X-a: b\nX-b: c", "bare line feed"),
            (b"X-a : b", "not HTTP"),
            (b"X-a: b\0c", "not HTTP"),
            (b"X-a: b\rc", "not HTTP"),
            (b"X-a: b\x01c", "control character"),
            (b"X a: b", "not HTTP"),
        )
    ),
    Answer(
        "two keys",
        ("kin: answers",),
        lambda accept: [START + accept + b"\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"],
        "Sec-WebSocket-Accept",
        proxies=False,
    ),
    Answer("no HTTP at all", ("kin: answers",), lambda accept: [b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], "not HTTP"),
    Answer("TLS", ("kin: answers",), lambda accept: [b"\x15\x03\x01\x00\x02\x02\x16"], "not HTTP"),
    Answer(
        "a refusal with a body for ever",
        ("kin: answers",),
        endless(b"x" * 1000, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 99999999999\r\n\r\n"),
        "403",
    ),
    Answer(
        "a refusal with a chunk's extension for ever",
        ("kin: answers",),
        endless(b"x" * 1000, b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n5;"),
        "403",
    ),
    *(
        Answer(
            f"a redirect to {location!r}",
            ("kin: redirects", "CVE-2026-61666"),
            lambda accept, location=location: [
                b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
            ],
            "302",
            proxies=False,
        )
        for location in (
            b"ws://[",
            b"ws://[::1",
            b"ws://a:99999",
            b"ws://a:-1",
            b"ws://a b/",
            b"ws://\xff/",
            b"file:///etc",
        )
    ),
]


@pytest.fixture(scope="module")
def visitor() -> Iterator[Victim]:
    """A client that has failed once."""
    victim = Victim("client")
    try:
        victim.visit("ws://127.0.0.1:1/")
        assert victim.ending()[1].startswith("ConnectionRefusedError")
        victim.take_note()
        yield victim
    finally:
        victim.stop()


@pytest.mark.parametrize("attack", ANSWERS, ids=str)
def test_driver_refuses_it(attack: Answer) -> None:
    session = new_client(extensions=[wsdriver.PermessageDeflate()], protocols=["chat"])
    session.driver.start()
    accept = accept_for(sent_key(session.wire.take())).encode()
    fed = 0
    for chunk in islice(attack.chunks(accept), 20_000):
        fed += len(chunk)
        session.parse(chunk)
        if session.driver.state == "closed":
            break
    assert fed < ENOUGH
    assert session.names == ["error", "close"]
    assert isinstance(session.error, wsdriver.HandshakeError)
    assert attack.said in str(session.error)
    assert session.wire.take() == b"", "a client has nothing to say to that"


@pytest.mark.parametrize("attack", ANSWERS, ids=str)
def test_client_refuses_it_within_its_memory(attack: Answer, visitor: Victim) -> None:
    def pour(attacker: Attacker, head: bytes) -> None:
        attacker.pour(attack.chunks(accept_for(sent_key(head)).encode()))

    with hostile_server(pour) as port:
        visitor.visit(f"ws://127.0.0.1:{port}/")
        code, error = visitor.ending()
    assert code == 0
    assert error.startswith("HandshakeError "), error
    assert attack.said in error
    assert visitor.grown <= BOUND


@pytest.mark.parametrize("attack", [attack for attack in ANSWERS if attack.proxies], ids=str)
def test_proxy_that_answers_so_is_refused_within_our_memory(attack: Answer, visitor: Victim) -> None:
    with hostile_server(lambda attacker, head: attacker.pour(attack.chunks(b"x"))) as port:
        visitor.visit("ws://example.com/", f"http://127.0.0.1:{port}")
        code, error = visitor.ending()
    assert code == 0
    assert error.startswith("ProxyError "), error
    assert attack.said in error
    assert visitor.grown <= BOUND


def test_other_clients_of_the_same_process_go_on_meanwhile() -> None:
    def pour(attacker: Attacker, head: bytes) -> None:
        attacker.pour(itertools.chain([START], itertools.repeat(b"x" * 30)), pace=True)

    with hostile_server(pour) as port, undisturbed(), pytest.raises(wsdriver.HandshakeError, match="longer than"):
        wsdriver.connect(f"ws://127.0.0.1:{port}/")
