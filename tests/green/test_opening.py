"""Connections before their request: no greenlet waits for it, and nobody waits for ever."""

from __future__ import annotations

import gc
import logging
import socket
from typing import Any

import gevent
import gevent.pool
import gevent.socket
import pytest

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving
from tests.support.waiting import wait_for
from wsdriver.green.deadlines import Deadlines
from wsdriver.green.proxied import Client


def connect(server: wsdriver.WebSocketServer) -> Any:
    sock = gevent.socket.create_connection(("127.0.0.1", server.server_port), 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def greenlets(server: wsdriver.WebSocketServer) -> int:
    """Count the greenlets that serve a connection of this server; those of other tests may not have ended yet."""
    gc.collect()
    found = [each for each in gc.get_objects() if isinstance(each, gevent.Greenlet) and not each.dead]
    # gevent's own way has the server's method as an argument.
    return sum(any(getattr(run, "__self__", None) is server for run in (each._run, *each.args)) for each in found)


def converse(sock: Any) -> None:
    """Open, echo one message, close; the server ends TCP."""
    sock.sendall(request())
    assert b" 101 " in read_head(sock.recv)
    sock.sendall(frame(1, b"hello"))
    assert read_frame(sock.recv) == (1, b"hello")
    sock.sendall(frame(8, b"\x03\xe8"))
    assert read_frame(sock.recv) == (8, b"\x03\xe8")
    assert sock.recv(1) == b""


#: Servers that take connections directly, and ones that must not.
SERVERS: dict[str, dict[str, Any]] = {
    "default": {},
    "endless pool": {"spawn": lambda: gevent.pool.Pool()},
    "pool": {"spawn": lambda: gevent.pool.Pool(10)},
    "number": {"spawn": lambda: 10},
    "raw": {"spawn": lambda: gevent.spawn_raw},
    "flash policy": {"flash_policy": lambda: True},
    "debug": {"debug": lambda: True},
}
DIRECT = ("default", "endless pool", "raw", "debug")


@pytest.mark.parametrize("name", SERVERS)
def test_connection_is_served_however_its_greenlet_begins(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    seen: list[Any] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        seen.append((ws.remote_address, ws.environ["REMOTE_PORT"], ws.environ["SERVER_PORT"], ws.handshake.path))
        echo(ws)
        seen.append((ws.close_code, ws.was_clean))

    with serving(handler, **{key: make() for key, make in SERVERS[name].items()}) as server:
        assert server._direct is (name in DIRECT)
        with connect(server) as sock:
            converse(sock)
            wait_for(lambda: len(seen) == 2)
            own = sock.getsockname()
        wait_for(lambda: len(server.connections) == 0)
        assert seen == [(own, str(own[1]), str(server.server_port), "/"), (1000, True)]
        assert server.stats().closes == {1000: 1}
    assert caplog.records == []


@pytest.mark.parametrize("name", SERVERS)
def test_request_that_comes_in_pieces_is_read(name: str) -> None:
    with serving(**{key: make() for key, make in SERVERS[name].items()}) as server, connect(server) as sock:
        data = request()
        for start in range(0, len(data), 40):
            sock.sendall(data[start : start + 40])
            gevent.sleep(0.005)
        assert b" 101 " in read_head(sock.recv)


def test_message_behind_the_request_is_not_lost() -> None:
    with serving() as server, connect(server) as sock:
        sock.sendall(request() + frame(1, b"early"))
        assert b" 101 " in read_head(sock.recv)
        assert read_frame(sock.recv) == (1, b"early")


def test_no_greenlet_before_the_request() -> None:
    with serving() as server, connect(server) as sock:
        wait_for(lambda: len(server.connections) == 1)
        assert greenlets(server) == 0
        assert len(server._unasked) == 1
        sock.sendall(request())
        assert b" 101 " in read_head(sock.recv)
        assert greenlets(server) == 1
        assert len(server._unasked) == 0


def test_full_pool_counts_connections_that_have_not_asked() -> None:
    with serving(spawn=1) as server, connect(server) as first:
        wait_for(lambda: len(server.connections) == 1)
        with connect(server) as second:
            second.sendall(request())
            with pytest.raises(TimeoutError), gevent.Timeout(0.2, TimeoutError):
                second.recv(1)
            first.close()
            assert b" 101 " in read_head(second.recv)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", request()[:-2]])
def test_peer_that_leaves_before_its_request_leaves_nothing(sent: bytes) -> None:
    with serving() as server:
        with connect(server) as sock:
            sock.sendall(sent)
            wait_for(lambda: len(server.connections) == 1)
        wait_for(lambda: len(server.connections) == 0)
        assert len(server._unasked) == 0
        assert server.stats().total == 0


def test_what_is_no_request_is_answered_without_a_greenlet() -> None:
    with serving() as server, connect(server) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00")
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
        assert greenlets(server) == 0
        assert sock.recv(65536) == b""
        sock.close()
        wait_for(lambda: len(server.connections) == 0)


def test_each_connection_has_its_own_open_timeout() -> None:
    with serving(open_timeout=0.3) as server, connect(server) as first:
        gevent.sleep(0.15)
        with connect(server) as second, connect(server) as third:
            third.sendall(request())
            with gevent.Timeout(10):
                assert first.recv(65536).startswith(b"HTTP/1.1 408 ")
                assert len(server._unasked) == 1
                assert second.recv(65536).startswith(b"HTTP/1.1 408 ")
            assert b" 101 " in read_head(third.recv)
            third.sendall(frame(1, b"still here"))
            assert read_frame(third.recv) == (1, b"still here")


def test_stop_ends_connections_that_have_not_asked() -> None:
    with serving() as server, connect(server) as sock:
        wait_for(lambda: len(server.connections) == 1)
        with gevent.Timeout(10):
            server.stop(timeout=5)
            assert sock.recv(65536).startswith(b"HTTP/1.1 503 ")
        assert len(server.connections) == 0


def test_server_that_was_stopped_starts_again() -> None:
    with serving() as server:
        for _ in range(2):
            with connect(server) as sock:
                converse(sock)
            server.stop()
            server.start()


def test_own_handle_is_called_as_by_gevent() -> None:
    called: list[Any] = []

    class Server(wsdriver.WebSocketServer):
        def handle(self, sock: Any, address: Any) -> None:
            called.append((type(sock), address[0]))
            super().handle(sock, address)

    server = Server(("127.0.0.1", 0), echo)
    server.start()
    try:
        with connect(server) as sock:
            converse(sock)
    finally:
        server.stop()
    assert called == [(gevent.socket.socket, "127.0.0.1")]


def test_error_while_a_connection_is_taken_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsdriver.WebSocketServer, "min_delay", 0.001)
    with serving() as server:
        real, failures = server.connections.add, [MemoryError("no room")]

        def add(ws: Any) -> None:
            real(ws)
            if failures:
                raise failures.pop()

        monkeypatch.setattr(type(server.connections), "add", lambda self, ws: add(ws))
        monkeypatch.setattr(gevent.get_hub(), "print_exception", lambda *about: None)
        with connect(server) as first:
            assert first.recv(1) == b""
        with connect(server) as second:
            converse(second)
        wait_for(lambda: len(server.connections) == 0)
        assert len(server._unasked) == 0


def test_forwarded_header_of_a_plain_request_is_believed_of_a_trusted_proxy() -> None:
    seen: list[Any] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        seen.append((ws.remote_address, ws.url, ws.environ["REMOTE_ADDR"]))

    with serving(handler, trusted_proxies=["127.0.0.1"]) as server, connect(server) as sock:
        sock.sendall(request("/a", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"))
        assert b" 101 " in read_head(sock.recv)
    assert seen == [(("192.0.2.7", 0), "wss://localhost/a", "192.0.2.7")]
    assert Client(("192.0.2.7", 0), True).host == "192.0.2.7"


# --- the end ---------------------------------------------------------------------------------------------------------


def test_handler_at_a_clean_end_finds_the_socket_closed() -> None:
    seen: list[Any] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        assert ws.receive() == "last words"
        gevent.sleep(0.1)
        seen.extend((ws.receive(), ws.state, ws.close_code, ws._sock))

    with serving(handler) as server, connect(server) as sock:
        sock.sendall(request())
        assert b" 101 " in read_head(sock.recv)
        sock.sendall(frame(1, b"last words") + frame(8, b"\x03\xe9"))
        assert read_frame(sock.recv) == (8, b"\x03\xe9")
        assert sock.recv(1) == b""
        wait_for(lambda: len(seen) == 4)
    assert seen == [None, "closed", 1001, None]


def test_messages_before_a_close_in_one_segment_all_come() -> None:
    seen: list[Any] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        seen.extend(ws)
        seen.append(ws.close_code)

    with serving(handler) as server, connect(server) as sock:
        sock.sendall(request())
        assert b" 101 " in read_head(sock.recv)
        sock.sendall(frame(1, b"a") + frame(2, b"b") + frame(8, b"\x03\xe8"))
        assert read_frame(sock.recv) == (8, b"\x03\xe8")
        wait_for(lambda: 1000 in seen)
    assert seen == ["a", b"b", 1000]


# --- deadlines -------------------------------------------------------------------------------------------------------


def test_deadlines_tell_of_who_is_still_there_in_order() -> None:
    told: list[str] = []
    deadlines = Deadlines(0.05, told.append)
    for name in "abc":
        deadlines.add(name)
    deadlines.discard("b")
    deadlines.discard("never there")
    assert len(deadlines) == 2
    gevent.sleep(0.02)
    deadlines.add("d")
    wait_for(lambda: len(told) == 3)
    assert told == ["a", "c", "d"]
    assert len(deadlines) == 0
    assert deadlines._timer is None
    deadlines.add("e")
    wait_for(lambda: told[-1] == "e")


def test_deadlines_without_a_time_keep_nobody() -> None:
    deadlines = Deadlines(None, print)
    deadlines.add("a")
    assert len(deadlines) == 0
    assert deadlines._timer is None


def test_deadlines_go_on_where_one_that_is_told_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def expired(member: str) -> None:
        told.append(member)
        if member == "a":
            raise ValueError(member)

    monkeypatch.setattr(gevent.get_hub(), "print_exception", lambda *about: None)
    deadlines = Deadlines(0.02, expired)
    deadlines.add("a")
    deadlines.add("b")
    wait_for(lambda: "b" in told)
    assert told == ["a", "b"]
