"""``ws.max_length``: the limit of one connection, set by its application."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.event
import pytest
from gevent import socket
from gevent.pywsgi import WSGIServer

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import echo, serving

REQUEST = request()
DEFLATE = request("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n")
HIXIE_75 = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: http://localhost\r\n\r\n"


@contextmanager
def client(port: int, start: bytes = REQUEST) -> Iterator[Any]:
    with gevent.Timeout(10), socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(start)
        read_head(sock.recv)
        yield sock


def code_of(sock: Any) -> int:
    """Read on to the close frame; return its code."""
    opcode, payload = read_frame(sock.recv)
    while opcode in (1, 2):
        opcode, payload = read_frame(sock.recv)
    assert opcode == 8
    return int.from_bytes(payload[:2], "big")


def packed(message: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


def limited(limit: int) -> Any:
    def handler(ws: wsdriver.WebSocket) -> None:
        assert ws.max_length == 1000
        ws.max_length = limit
        assert ws.max_length == limit
        echo(ws)

    return handler


@pytest.mark.parametrize(
    "data",
    [
        frame(2, b"x" * 101),
        frame(1, b"x" * 60, fin=False) + frame(0, b"x" * 41),
        frame(2, b"x" * 100, fin=False) + frame(0, b"x", fin=False),
    ],
)
def test_set_before_the_handshake_it_counts_from_the_first_message_on(data: bytes) -> None:
    with serving(limited(100), max_length=1000) as server:
        with client(server.server_port) as sock:
            sock.sendall(frame(2, b"x" * 100) + frame(1, b"x" * 60, fin=False) + frame(0, b"x" * 40))
            assert read_frame(sock.recv) == (2, b"x" * 100)
            assert read_frame(sock.recv) == (1, b"x" * 100)
            sock.sendall(data)
            assert code_of(sock) == 1009
        # That was of one connection only.
        assert server.options.max_length == 1000


@pytest.mark.parametrize("limit", [5000, 0])
def test_it_can_be_more_than_the_servers(limit: int) -> None:
    with serving(limited(limit), max_length=1000) as server, client(server.server_port) as sock:
        sock.sendall(frame(2, b"x" * 5000))
        assert read_frame(sock.recv) == (2, b"x" * 5000)
        if limit:
            sock.sendall(frame(2, b"x" * 5001))
            assert code_of(sock) == 1009


def test_it_counts_for_inflated_messages() -> None:
    options: dict[str, Any] = {"max_length": 1000, "extensions": [wsdriver.PermessageDeflate()]}
    with serving(limited(100), **options) as server, client(server.server_port, DEFLATE) as sock:
        sock.sendall(frame(1, packed(b"x" * 100), rsv=0x40))
        assert read_frame(sock.recv)[0] == 1
        sock.sendall(frame(1, packed(b"x" * 101), rsv=0x40))
        assert code_of(sock) == 1009


def test_it_counts_in_hixie() -> None:
    with serving(limited(100), max_length=1000) as server, client(server.server_port, HIXIE_75) as sock:
        good = b"\x00" + b"x" * 100 + b"\xff"
        sock.sendall(good)
        echoed = b""
        while len(echoed) < len(good):
            echoed += sock.recv(1000)
        assert echoed == good
        sock.sendall(b"\x00" + b"x" * 101)
        assert sock.recv(1000) == b""


@pytest.mark.parametrize("compressed", [False, True])
def test_set_after_the_handshake_it_counts_from_the_next_message_on(compressed: bool) -> None:
    """Up and down again, as a handler does that lets its clients log in first."""

    def handler(ws: wsdriver.WebSocket) -> None:
        for message in ws:
            ws.max_length = int(message)
            ws.send(message)

    options: dict[str, Any] = {"max_length": 10, "extensions": [wsdriver.PermessageDeflate()]}

    def text(data: bytes) -> bytes:
        return frame(1, packed(data), rsv=0x40) if compressed else frame(1, data)

    with serving(handler, **options) as server, client(server.server_port, DEFLATE) as sock:
        for message in (b"1000", b"0" * 990 + b"20", b"0" * 18 + b"20"):
            sock.sendall(text(message))
            assert read_frame(sock.recv)[0] == 1
        sock.sendall(text(b"0" * 19 + b"20"))
        assert code_of(sock) == 1009


@pytest.mark.parametrize("hixie", [False, True])
def test_lowered_while_a_message_is_read_it_ends_it(hixie: bool) -> None:
    lowered = gevent.event.Event()

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.accept()
        while ws.bytes_received < len(start):
            gevent.sleep(0.001)
        ws.max_length = 10
        lowered.set()
        assert ws.receive() is None
        assert ws.close_code == 1009
        assert "10" in str(ws.close_error)

    head, beginning, rest = request(), frame(1, b"x" * 500, fin=False), frame(0, b"x")
    if hixie:
        head, beginning, rest = HIXIE_75, b"\x00" + b"x" * 500, b"x"
    start = head + beginning
    with serving(handler) as server, client(server.server_port, start) as sock:
        lowered.wait(5)
        sock.sendall(rest)
        assert hixie or code_of(sock) == 1009
        assert sock.recv(100) == b""


def test_of_a_client_it_can_be_set() -> None:
    with serving() as server, wsdriver.connect(server.url, max_length=10) as ws:
        assert ws.max_length == 10
        ws.max_length = 20
        ws.send("x" * 20)
        assert ws.receive(5) == "x" * 20
        ws.send("x" * 21)
        assert ws.receive(5) is None
        assert ws.close_code == 1009


def test_in_a_wsgi_application_it_is_set_before_the_handshake() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        ws = wsdriver.WebSocket(environ, max_length=1000)
        assert ws.max_length == 1000
        ws.max_length = 100
        assert ws.max_length == 100
        with pytest.raises(wsdriver.ConfigurationError, match="max_length"):
            ws.max_length = -1
        assert ws.state == "connecting"
        echo(ws)
        return ws.wsgi_response()

    server = WSGIServer(("127.0.0.1", 0), app, log=None, handler_class=wsdriver.WebSocketHandler)
    server.start()
    try:
        with client(server.server_port) as sock:
            sock.sendall(frame(2, b"x" * 100))
            assert read_frame(sock.recv) == (2, b"x" * 100)
            sock.sendall(frame(2, b"x" * 101))
            assert code_of(sock) == 1009
    finally:
        server.stop(timeout=1)


@pytest.mark.parametrize("value", [-1, 1.5, "10", None, True])
def test_value_that_is_none_raises_and_changes_nothing(value: Any) -> None:
    with serving() as server, wsdriver.connect(server.url, max_length=10) as ws:
        with pytest.raises(wsdriver.ConfigurationError, match="max_length"):
            ws.max_length = value
        assert ws.max_length == 10


def test_value_may_be_larger_than_any_frame() -> None:
    with serving() as server, wsdriver.connect(server.url) as ws:
        ws.max_length = 2**70
        assert ws.max_length == 2**70
        ws.send("x")
        assert ws.receive(5) == "x"
