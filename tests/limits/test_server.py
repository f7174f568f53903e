"""Limits over a real socket: what the driver judges, and what only a server can."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent import select, socket
from gevent.event import Event

import wsdriver
from tests.limits.rows import HIXIE_76, MESSAGES, OPENING, Row, bomb
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving
from tests.support.tls import make_certificates
from tests.support.waiting import wait_for

PATIENCE = 15.0
PING = 9
PONG = 10
CLOSE = 8

#: Seconds after which what has not answered does not.
MOMENT = 0.3


@contextmanager
def raw(server: Any, *sent: bytes, source: str = "127.0.0.1") -> Iterator[Any]:
    """Connect, and send these bytes."""
    sock = socket.create_connection(("127.0.0.1", server.server_port), PATIENCE, (source, 0))
    try:
        for data in sent:
            sock.sendall(data)
        yield sock
    finally:
        sock.close()


def assert_read(sock: Any, is_read: bool = True) -> None:
    """Check that the server reads on, and so answers a ping; or that it does not."""
    sock.sendall(frame(PING, b"?"))
    if is_read:
        assert read_frame(sock.recv) == (PONG, b"?")
    else:
        assert select.select([sock], [], [], MOMENT)[0] == []


# --- what the driver judges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", OPENING, ids=lambda row: row.name)
def test_opening(row: Row) -> None:
    with serving(**row.given) as server:
        with raw(server, row.make(row.most)) as sock:
            assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
        with raw(server, row.make(row.most + 1)) as sock:
            answer = sock.makefile("rb").read().decode()
        assert answer.startswith(f"HTTP/1.1 {row.outcome} ")
        assert row.limit in answer
        assert str(row.most) in answer


@pytest.mark.parametrize("row", MESSAGES, ids=lambda row: row.name)
def test_message(row: Row) -> None:
    ends: list[wsdriver.WebSocket] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        for _ in ws:
            pass
        ends.append(ws)

    with serving(handler, **row.given) as server:
        with raw(server, row.opening, row.make(row.most)) as sock:
            read_head(sock.recv)
            if row.name == "ping":
                assert read_frame(sock.recv)[0] == PONG
            if row.name != "frame that never comes":
                assert_read(sock)
        with raw(server, row.opening, row.make(row.most + 1)) as sock:
            read_head(sock.recv)
            opcode, payload = read_frame(sock.recv)
            assert opcode == CLOSE
            assert struct.unpack("!H", payload[:2]) == (row.outcome,)
            assert row.limit.encode() in payload
        wait_for(lambda: len(ends) == 2)
        assert ends[1].close_code == row.outcome
        assert row.limit in str(ends[1].close_error)


# --- the time of the opening handshake -------------------------------------------------------------------------------


def drip(sock: Any, data: bytes) -> None:
    """Send bytes one by one, for as long as they are taken."""
    try:
        for byte in data:
            sock.sendall(bytes([byte]))
            gevent.sleep(0.1)
    except OSError:
        pass


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    return {"certfile": str(certificates.certificate), "keyfile": str(certificates.key)}


class TestOpenTimeout:
    """In TLS and in the head: ``tests/green/test_robustness.py``, of the same name."""

    def test_is_of_head_and_body_of_hixie_76_together(self) -> None:
        # By deadlines, and by greenlets that wait.
        both = [gevent.spawn(self.drip_a_hixie, spawn) for spawn in ("default", 10)]
        gevent.joinall(both, PATIENCE, raise_error=True)
        assert all(one.successful() for one in both)

    def drip_a_hixie(self, spawn: Any) -> None:
        lost: list[BaseException | None] = []

        def handler(ws: wsdriver.WebSocket) -> None:
            ws.accept()
            lost.append(ws.close_error)

        ended: list[str] = []

        def end(name: str, sock: Any) -> None:
            while sock.recv(1000):
                pass
            ended.append(name)

        with serving(handler, open_timeout=2, spawn=spawn) as server, raw(server, HIXIE_76[:20]) as sock:
            gevent.sleep(1)
            with raw(server) as later:
                gevent.sleep(0.5)
                sock.sendall(HIXIE_76[20:-8])
                assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
                dripping = gevent.spawn(drip, sock, b"1234567")
                gevent.joinall([gevent.spawn(end, "hixie", sock), gevent.spawn(end, "later", later)], PATIENCE)
                dripping.kill()
        # Not by the time of each phase: the other came a second later, and has all of its own.
        assert ended == ["hixie", "later"]
        assert "2 seconds (open_timeout)" in str(lost[0])

    def test_body_of_hixie_76_within_it_is_taken(self) -> None:
        with serving(open_timeout=5) as server, raw(server, HIXIE_76[:-8]) as sock:
            read_head(sock.recv)
            gevent.spawn(drip, sock, HIXIE_76[-8:])
            sock.settimeout(5)
            assert sock.recv(16, socket.MSG_WAITALL) == b"8jKS'y:G*Co,Wxa-"


# --- the inbound queue -----------------------------------------------------------------------------------------------


class Busy:
    """A handler that receives when it is told to, and collects what it gets."""

    def __init__(self) -> None:
        self.go = Event()
        self.messages: list[Any] = []
        self.ws: Any = None

    def __call__(self, ws: wsdriver.WebSocket) -> None:
        ws.accept()
        self.ws = ws
        self.go.wait(PATIENCE)
        self.messages += ws


def assert_paused_and_resumed(handler: Busy, sock: socket.socket, paused: bool, messages: int) -> None:
    """Check whether reading has paused; and that it goes on, and nothing is lost, once the handler receives."""
    assert_read(sock, not paused)
    handler.go.set()
    if paused:
        assert read_frame(sock.recv) == (PONG, b"?"), "it is read again"
    sock.sendall(frame(CLOSE))
    read_frame(sock.recv)
    wait_for(lambda: len(handler.messages) == messages)


class TestInbound:
    @pytest.mark.parametrize("more", [0, 1])
    def test_messages(self, more: int) -> None:
        handler = Busy()
        messages = frame(2, b"m") * (100 + more)
        with serving(handler, inbound_messages=100) as server, raw(server, request()) as sock:
            read_head(sock.recv)
            sock.sendall(messages)
            wait_for(lambda: handler.ws.bytes_received >= len(request() + messages))
            assert_paused_and_resumed(handler, sock, paused=more > 0, messages=100 + more)

    @pytest.mark.parametrize("more", [0, 1])
    def test_bytes(self, more: int) -> None:
        handler = Busy()
        message = frame(2, bytes(50_000 - 8 + more))
        with (
            serving(handler, inbound_limit=50_000 + len(request())) as server,
            raw(server, request()) as sock,
        ):
            read_head(sock.recv)
            sock.sendall(message)
            wait_for(lambda: handler.ws.bytes_received >= len(request() + message))
            assert_paused_and_resumed(handler, sock, paused=more > 0, messages=1)

    @pytest.mark.parametrize("early", [False, True], ids=["later", "with the request"])
    def test_messages_that_unfold_count_by_what_they_become(self, early: bool) -> None:
        handler = Busy()
        size, count = 300_000, 40
        bombs = bomb(size) * count
        assert len(bombs) < 65536, "they come in one read"
        opening = request("/", "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n")
        options = {"extensions": [wsdriver.PermessageDeflate()], "inbound_limit": 1_000_000}
        with serving(handler, **options) as server, raw(server) as sock:
            sock.sendall(opening + bombs if early else opening)
            assert b"permessage-deflate" in read_head(sock.recv)
            if not early:
                sock.sendall(bombs)
            wait_for(lambda: handler.ws is not None and handler.ws.bytes_received >= len(opening + bombs))
            wait_for(lambda: handler.ws._driver.inbox)
            assert_read(sock, False)
            assert len(handler.ws._driver.inbox) == 4, "the fourth is the first that is over the limit"
            handler.go.set()
            assert read_frame(sock.recv) == (PONG, b"?")
            sock.sendall(frame(CLOSE))
            read_frame(sock.recv)
            wait_for(lambda: len(handler.messages) == count)
            assert set(map(len, handler.messages)) == {size}

    def test_large_message_that_unfolds_little_is_read_past_the_limit(self) -> None:
        """A message may be longer than what may wait: it must get through all the same."""
        data = bytes(range(256)) * 4000
        with (
            serving(echo, inbound_limit=10_000, extensions=[wsdriver.PermessageDeflate()]) as server,
            wsdriver.connect(server.url, extensions=[wsdriver.PermessageDeflate()], inbound_limit=10_000) as ws,
        ):
            for message in (data, os.urandom(300_000), data):
                for _ in range(3):
                    ws.send(message)
                for _ in range(3):
                    assert ws.receive(PATIENCE) == message


# --- the outbound buffer ---------------------------------------------------------------------------------------------


def test_outbound_bytes() -> None:
    limit = 300_000
    outcome: list[Any] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        while not ws.buffered_amount:
            ws.send(bytes(20_000))
        ws.send(bytes(limit - ws.buffered_amount - 4 - 6 * (limit - ws.buffered_amount > 65535 + 4)))
        outcome.append(ws.buffered_amount)
        ws.send(b"at the limit")
        outcome.append(ws.buffered_amount)
        try:
            ws.send(b"past it")
        except wsdriver.ConnectionClosed:
            outcome.append(ws.close_error)

    options = {"outbound_limit": limit, "write_limit": 2 * limit}
    with serving(handler, **options) as server, raw(server, request()) as sock:
        read_head(sock.recv)
        wait_for(lambda: len(outcome) == 3)
    assert outcome[0] == limit
    assert outcome[1] == limit + 14
    assert isinstance(outcome[2], ConnectionAbortedError)
    assert "outbound_limit" in str(outcome[2])
    assert str(limit) in str(outcome[2])


@pytest.mark.parametrize("more", [0, 1])
def test_bytes_before_send_waits(more: int) -> None:
    limit = 300_000
    passed: list[int] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        while not ws.buffered_amount:
            ws.send(bytes(20_000))
        size = limit - ws.buffered_amount
        ws.send(bytes(size - (4 if size <= 65535 + 4 else 10) + more))
        passed.append(ws.buffered_amount)

    with serving(handler, write_limit=limit) as server, raw(server, request()) as sock:
        read_head(sock.recv)
        gevent.sleep(0.2)
        if more:
            assert passed == []
            while not passed:  # what takes makes it go on
                sock.recv(65536)
        assert passed[0] <= limit
