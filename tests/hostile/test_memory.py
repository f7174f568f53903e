"""What messages cost while they come, where the way in which they come is what is hostile."""

from __future__ import annotations

import tracemalloc
from itertools import islice, repeat

import gevent
import pytest

import wsdriver
from tests.hostile.peers import PATIENCE, Attacker, hostile_server
from tests.support.drafts import DRAFTS, DraftClient
from tests.support.driving import Session, accept_for, new_server, open_session, sent_key
from tests.support.net import MASK, frame

MIB = 1024 * 1024
LENGTH = 200_000
FRAGMENTS = 2000

#: So many objects of one byte would be 1.6 MB.
SINGLE = 50_000


@pytest.mark.parametrize("side", ["server", "client"])
def test_message_in_single_bytes_takes_twice_its_size(side: str) -> None:
    session = open_session(side, max_length=SINGLE)
    data = frame(2, bytes(SINGLE), mask=MASK if side == "server" else None)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for index in range(len(data)):
            session.driver.parse(data[index : index + 1])
        assert tracemalloc.get_traced_memory()[1] - before < 2 * SINGLE + MIB
    finally:
        tracemalloc.stop()
    assert session.messages == [bytes(SINGLE)]


def test_flood_of_pings_by_a_server_that_does_not_read_is_bounded() -> None:
    ping = b"\x89\x7d" + bytes(125)

    def flood(attacker: Attacker, head: bytes) -> None:
        attacker._reader.kill()  # it reads no more
        attacker.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_for(sent_key(head)).encode() + b"\r\n\r\n"
        )
        for _ in range(300):
            attacker.sock.sendall(ping * 500)
        attacker.sock.sendall(b"\x81\x04over")
        gevent.sleep(PATIENCE)

    with hostile_server(flood) as port:
        ws = wsdriver.connect(f"ws://127.0.0.1:{port}/")
        assert ws.receive(PATIENCE) == "over"
        assert ws.buffered_amount < MIB
        ws.terminate()


def draft(version: str) -> tuple[Session, DraftClient]:
    """An open driver of a server, and a client of an old version; what it sends is fed by hand."""
    session = new_server(max_length=LENGTH, max_fragments=FRAGMENTS)
    session.driver.on("connect", lambda _: session.driver.start())
    client = DraftClient(version, 80)
    session.parse(client.head() + client.body)
    client.take_answer(session.wire.take())
    session.forget()
    return session, client


@pytest.mark.parametrize(("kind", "size"), [("text", 1), ("text", 0), ("binary", 0), ("binary", 50_000)])
@pytest.mark.parametrize("version", [name for name, row in DRAFTS.items() if row.has_frames])
def test_old_versions_have_the_same_limits(version: str, kind: str, size: int) -> None:
    session, client = draft(version)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        session.parse(client.frame(kind, b"x" * size, False))
        # (One mask is as good as another, but in -04, where it takes a SHA-1 each: all frames are the same.)
        one = client.frame("continuation", b"x" * size, False)
        many = one * max(1, 16_384 // len(one))
        for chunk in islice(repeat(many), 3000):
            session.parse(chunk)
            if session.driver.state == "closed":
                break
        assert tracemalloc.get_traced_memory()[1] - before < 2 * LENGTH + MIB
    finally:
        tracemalloc.stop()
    assert session.names == ["error", "close"]
    assert session.closes[0][1] == 1009
