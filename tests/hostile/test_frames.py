"""Frames of a hostile peer: against the driver alone, and over a socket against a process that is looked at."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from itertools import islice
from socket import SHUT_WR
from typing import Any

import pytest
from gevent.event import AsyncResult

import wsdriver
from tests.hostile.frames import FRAMES, OLD, Attack, OldAttack, bomb
from tests.hostile.peers import BOUND, PATIENCE, Attacker, Victim, hostile_server, undisturbed
from tests.hostile.victim import MAX_LENGTH
from tests.support.drafts import DraftClient
from tests.support.driving import accept_for, new_client, new_server, open_session, sent_key
from tests.support.net import MASK, request

ATTACKS = [pytest.param(attack, role, id=f"{attack} ({role})") for attack in FRAMES for role in attack.roles]
OLD_ATTACKS = [pytest.param(attack, name, id=f"{attack} ({name})") for attack in OLD for name in attack.versions]

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"

#: More bytes than any attack may need: those of a message, and what may be on its way.
ENOUGH = 2 * MAX_LENGTH

#: What an end may leave behind, as long as somebody looks at its error.
LEFT = 1024 * 1024


@pytest.fixture(scope="module")
def server() -> Iterator[Victim]:
    """A server that has seen each way of being spoken to, so that what is only made once has been made."""
    victim = Victim("server")
    try:
        with wsdriver.connect(f"ws://127.0.0.1:{victim.port}/", extensions=[wsdriver.PermessageDeflate()]) as ws:
            for size in (100, 100_000):
                ws.send("x" * size)
                assert ws.receive(PATIENCE) == str(size)
        assert victim.ending()[0] == 1000
        victim.take_note()
        yield victim
    finally:
        victim.stop()


def answer(request_head: bytes, deflate: bool) -> bytes:
    """The handshake that a hostile server does by the book."""
    extra = DEFLATE if deflate else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_for(sent_key(request_head))}\r\n{extra}\r\n"
    ).encode()


def close_code(said: bytes) -> int:
    """The code of the close frame among the frames of somebody who may mask."""
    at = 0
    while at < len(said):
        first, second = said[at], said[at + 1]
        size, at = second & 0x7F, at + 2
        if size == 126:
            size, at = int.from_bytes(said[at : at + 2], "big"), at + 2
        key = b""
        if second & 0x80:
            key, at = said[at : at + 4], at + 4
        payload = said[at : at + size]
        if key:
            payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
        if first == 0x88:
            return int.from_bytes(payload[:2], "big")
        at += size
    raise AssertionError(f"no close frame among {said[:100]!r}")


def cost_of(feed: Any, chunks: Iterable[bytes]) -> tuple[int, int]:
    """Feed chunks, until that says it is enough; the bytes that Python and what it calls had more, at their peak and
    at the end.
    """
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for chunk in chunks:
            if feed(chunk):
                break
        del chunk, chunks
        now, peak = tracemalloc.get_traced_memory()
        return peak - before, now - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("attack", "role"), ATTACKS)
def test_driver_ends_with_the_code_and_within_its_memory(attack: Attack, role: str) -> None:
    options: dict[str, Any] = {"max_length": MAX_LENGTH}
    if attack.deflate:
        options["extensions"] = [wsdriver.PermessageDeflate()]
    if role == "server":
        session = new_server(**options)
        session.parse(request(extra=DEFLATE if attack.deflate else ""))
        session.driver.start()
    elif attack.deflate:
        session = new_client(**options)
        session.driver.start()
        session.parse(answer(session.wire.take(), True))
    else:
        session = open_session("client", **options)
    assert session.driver.state == "open"
    session.forget()
    chunks = islice(attack.chunks(MASK if role == "server" else None), 4096)
    fed = 0

    def feed(chunk: bytes) -> bool:
        nonlocal fed
        fed += len(chunk)
        session.driver.parse(chunk)
        session.events = [event for event in session.events if event[0] != "message"]
        return session.driver.state == "closed"

    bomb(1000)  # (what tables zlib makes is not the attack's)
    peak, left = cost_of(feed, chunks)
    assert session.names == ["error", "close"]
    assert session.closes[0][1] == attack.code
    assert close_code(session.wire.take()) == attack.code
    assert fed < ENOUGH
    assert peak <= BOUND
    assert left <= LEFT
    session.parse(b"\x81\x01x" * 100)
    assert session.names == ["error", "close"], "something came behind the end"


@pytest.mark.parametrize("attack", [attack for attack in FRAMES if "server" in attack.roles], ids=str)
def test_server_ends_with_the_code_within_its_memory_and_serves_on(attack: Attack, server: Victim) -> None:
    chunks = attack.chunks(MASK)
    with undisturbed(server.port):
        attacker = Attacker.connected(server.port)
        attacker.sock.sendall(request(extra=DEFLATE if attack.deflate else ""))
        assert attacker.head().startswith(b"HTTP/1.1 101 ")
        sent = attacker.pour(chunks)
        said = attacker.end()
        code, error = server.ending()
    assert server.ending()[0] == 1000, "the bystander's connection was not ended by itself"
    assert close_code(said) == attack.code
    assert code == attack.code, error
    assert sent < ENOUGH
    assert server.grown <= BOUND


@pytest.fixture(scope="module")
def visitor() -> Iterator[Victim]:
    """A client that has spoken with a right server."""
    victim = Victim("client")

    def greet(attacker: Attacker, head: bytes) -> None:
        attacker.sock.sendall(answer(head, True) + b"\x81\x02hi\x88\x02\x03\xe8")
        attacker.end()

    try:
        with hostile_server(greet) as port:
            victim.visit(f"ws://127.0.0.1:{port}/")
            assert victim.ending()[0] == 1000
        victim.take_note()
        yield victim
    finally:
        victim.stop()


@pytest.mark.parametrize("attack", [attack for attack in FRAMES if "client" in attack.roles], ids=str)
def test_client_ends_with_the_code_and_within_its_memory(attack: Attack, visitor: Victim) -> None:
    outcome: AsyncResult = AsyncResult()

    def pour(attacker: Attacker, head: bytes) -> None:
        attacker.sock.sendall(answer(head, attack.deflate))
        sent = attacker.pour(attack.chunks(None))
        attacker.sock.shutdown(SHUT_WR)
        outcome.set((attacker.end(), sent))

    with hostile_server(pour) as port:
        visitor.visit(f"ws://127.0.0.1:{port}/")
        code, error = visitor.ending()
        said, sent = outcome.get(timeout=PATIENCE)
    assert code == attack.code, error
    assert close_code(said) == attack.code
    assert sent < ENOUGH
    assert visitor.grown <= BOUND


# --- old versions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attack", "version"), OLD_ATTACKS)
def test_driver_of_an_old_version_ends_within_its_memory(attack: OldAttack, version: str) -> None:
    session = new_server(max_length=MAX_LENGTH)
    session.driver.on("connect", lambda _: session.driver.start())
    client = DraftClient(version, 80)
    session.parse(client.head() + client.body)
    assert session.driver.version == version
    assert session.driver.state == "open"
    session.forget()

    def feed(chunk: bytes) -> bool:
        session.driver.parse(chunk)
        return session.driver.state == "closed"

    peak, left = cost_of(feed, islice(attack.chunks(), 4096))
    assert peak <= BOUND
    assert left <= LEFT
    assert session.names == ["error", "close"]
    assert session.closes[0][1] == attack.code
    assert session.wire.take() == (b"\xff\x00" if version == "hixie-76" else b"")


@pytest.mark.parametrize(("attack", "version"), OLD_ATTACKS)
def test_server_of_an_old_version_ends_within_its_memory(attack: OldAttack, version: str, server: Victim) -> None:
    client = DraftClient(version, server.port)
    with undisturbed(server.port):
        attacker = Attacker.connected(server.port)
        attacker.sock.sendall(client.head() + client.body)
        assert attacker.head().startswith(b"HTTP/1.1 101 ")
        attacker.pour(attack.chunks())
        said = attacker.end()
        code, error = server.ending()
    assert server.ending()[0] == 1000
    assert code == attack.code, error
    assert said.endswith(b"\xff\x00") is (version == "hixie-76")
    assert server.grown <= BOUND
