"""``environ['wsgi.websocket']`` in gevent's server; under gunicorn, ``tests/moving`` has whole applications."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.event import AsyncResult
from gevent.pywsgi import WSGIServer

import wsdriver
from tests.support.net import read_frame, read_head, request
from tests.support.wire import CLOSE, TEXT
from wsdriver.compat.geventwebsocket.handler import WebSocketHandler as EagerHandler
from wsdriver.green import legacy
from wsdriver.testing import Client

PATIENCE = 10


@contextmanager
def serving(handler: Callable[[Any], object], handler_class: Any = wsdriver.WebSocketHandler) -> Iterator[Any]:
    """Serve ``handler(environ['wsgi.websocket'])``. ``done`` has what it returned; ``environ``, what was left."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        server.environ = environ
        try:
            server.done.set(handler(environ["wsgi.websocket"]))
        except BaseException as error:
            server.done.set_exception(error)
            raise
        return []

    server = WSGIServer(("127.0.0.1", 0), app, handler_class=handler_class, log=None)
    server.done = AsyncResult()
    server.start()
    server.url = f"ws://127.0.0.1:{server.server_port}/"
    try:
        yield server
    finally:
        server.stop(timeout=1)


def ask_badly(server: Any) -> bytes:
    """Send a request for a version that there is not; return the beginning of the answer."""
    with gevent.socket.create_connection(("127.0.0.1", server.server_port)) as sock:
        sock.sendall(request().replace(b"Version: 13", b"Version: 99"))
        answer: bytes = sock.recv(12)
        return answer


def collect(ws: Any) -> list[Any]:
    """The loop that most applications have, begun when all has happened."""
    assert not ws.closed
    while ws.state == "open":
        gevent.sleep(0.001)
    found = []
    while not ws.closed:
        found.append(ws.receive())
    return found


def wait_closed(ws: Any) -> bool:
    """A loop that never receives."""
    while not ws.closed:
        gevent.sleep(0.001)
    return True


class TestClosed:
    def test_messages_that_came_before_the_end_are_received(self) -> None:
        with serving(collect) as server:
            with wsdriver.connect(server.url) as ws:
                ws.send("one")
                ws.send(b"two")
            assert server.done.get(timeout=PATIENCE) == ["one", b"two"]

    def test_messages_that_nobody_receives_keep_it_open_for_a_while_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(legacy, "ABANDONED", 0.1)
        with serving(wait_closed) as server:
            with wsdriver.connect(server.url) as ws:
                ws.send("nobody receives this")
            assert server.done.get(timeout=PATIENCE) is True

    def test_request_that_is_refused_is_closed(self) -> None:
        with serving(wait_closed) as server:
            assert ask_badly(server) == b"HTTP/1.1 426"
            assert server.done.get(timeout=PATIENCE) is True


class TestUse:
    def test_close_waits_for_nothing(self) -> None:
        def handler(ws: Any) -> Any:
            ws.close(4000, b"bye")
            return ws.closed, ws.state

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            assert server.done.get(timeout=PATIENCE) == (True, "closing")
            assert ws.receive(PATIENCE) is None
        assert (ws.close_code, ws.close_reason) == (4000, "bye")

    @pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 5000, True, "1000"])
    def test_close_code_that_may_not_be_sent_is_an_error(self, code: Any) -> None:
        def handler(ws: Any) -> None:
            with pytest.raises(ValueError, match="may not stand in a close frame"):
                ws.close(code)
            ws.send("still open")

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(PATIENCE) == "still open"

    def test_what_is_no_message_is_a_type_error_while_it_is_open(self) -> None:
        def handler(ws: Any) -> None:
            for wrong in (None, 5, {}):
                with pytest.raises(TypeError):
                    ws.send(wrong)
            ws.close()
            with pytest.raises(wsdriver.ConnectionClosed):
                ws.send(None)

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            server.done.get(timeout=PATIENCE)
            assert ws.receive(PATIENCE) is None

    def test_frames(self) -> None:
        def handler(ws: Any) -> None:
            ws.receive()
            ws.send_frame("text", ws.OPCODE_TEXT)
            ws.send_frame(b"binary", ws.OPCODE_BINARY)
            ws.send_frame(None, ws.OPCODE_PING)
            ws.send_frame("pong", ws.OPCODE_PONG)
            ws.send_frame(None, ws.OPCODE_CLOSE)

        told: list[Any] = []
        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            for event in ("ping", "pong"):
                ws.on(event, lambda found: told.append(found.data))
            ws.send("begin")
            assert list(ws) == ["text", b"binary"]
        assert told == [b"", b"pong"]

    def test_iteration_and_broadcast_are_ours(self) -> None:
        def handler(ws: Any) -> Any:
            assert isinstance(ws, wsdriver.WebSocket)
            found = next(iter(ws))
            wsdriver.broadcast([ws], "to all")
            return type(found)

        with serving(handler) as server, wsdriver.connect(server.url) as ws:
            ws.send(b"binary")
            assert ws.receive(PATIENCE) == "to all"
            assert server.done.get(timeout=PATIENCE) is bytes


class TestClients:
    def test_server_knows_its_clients(self) -> None:
        def handler(ws: Any) -> Any:
            handler = ws.handler
            assert handler.active_client is handler.active_client
            assert handler.environ is ws.environ
            assert handler.logger is ws.logger
            ws.send("in")
            assert ws.receive() == "known"
            assert handler.server.clients == {handler.client_address: handler.active_client}
            assert handler.active_client.ws is ws
            return handler.client_address[0]

        with serving(handler) as server:
            with wsdriver.connect(server.url) as ws:
                assert ws.receive(PATIENCE) == "in"
                assert [client.address[0] for client in server.clients.values()] == ["127.0.0.1"]
                ws.send("known")
                assert server.done.get(timeout=PATIENCE) == "127.0.0.1"
                assert ws.receive(PATIENCE) is None
            assert server.clients == {}

    def test_environ_lets_go_of_it(self) -> None:
        with serving(lambda ws: ws.send("x")) as server:
            with wsdriver.connect(server.url) as ws:
                assert list(ws) == ["x"]
            while server.environ["wsgi.websocket"] is not None:
                gevent.sleep(0.001)


class TestErrors:
    def test_error_is_also_that_of_the_module_that_is_loaded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module = ModuleType("geventwebsocket.exceptions")
        theirs = type("WebSocketError", (OSError,), {})
        module.WebSocketError = theirs
        ws = legacy.LegacyWebSocket({})
        monkeypatch.setitem(sys.modules, module.__name__, module)
        assert isinstance(ws._closed_error(), theirs)
        assert isinstance(ws._closed_error(), wsdriver.ConnectionClosed)
        monkeypatch.delitem(sys.modules, module.__name__)
        assert type(ws._closed_error()) is wsdriver.ConnectionClosed


class TestPages:
    """What an application answers as HTTP, after the handshake, is seen by nobody."""

    @pytest.mark.parametrize("around", [lambda app: app, legacy.handshake_first], ids=["at-first-use", "first"])
    @pytest.mark.parametrize(("status", "code"), [("200 OK", 1000), ("404 Not Found", 1000), ("500 Oh", 1011)])
    def test_status_of_an_error_closes_with_1011(self, around: Callable[[Any], Any], status: str, code: int) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            environ["wsgi.websocket"].send("one")
            start_response(status, [("Content-Type", "text/plain")])
            return [b"a page of the framework"]

        with Client(around(app), raise_errors=False).websocket() as ws:
            assert list(ws) == ["one"]
        assert (ws.close_code, ws.was_clean) == (code, True)

    def test_a_page_is_not_the_next_requests(self) -> None:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            if not wsdriver.is_websocket(environ):
                start_response("500 Oh", [("Content-Length", "0")])
                return []
            environ["wsgi.websocket"].send("one")
            return []

        server = WSGIServer(("127.0.0.1", 0), app, handler_class=wsdriver.WebSocketHandler, log=None)
        server.start()
        try:
            with gevent.socket.create_connection(("127.0.0.1", server.server_port), PATIENCE) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert read_head(sock.recv).startswith(b"HTTP/1.1 500 ")
                sock.sendall(request())
                assert read_head(sock.recv).startswith(b"HTTP/1.1 101 ")
                assert read_frame(sock.recv) == (TEXT, b"one")
                assert read_frame(sock.recv) == (CLOSE, b"\x03\xe8")
        finally:
            server.stop(timeout=1)


class TestHandshake:
    def test_application_that_says_nothing_accepts(self) -> None:
        with serving(lambda ws: None, EagerHandler) as server, wsdriver.connect(server.url) as ws:
            assert ws.receive(PATIENCE) is None
        assert ws.close_code == 1000

    def test_comes_first_in_the_handler_that_says_so(self) -> None:
        opened = AsyncResult()
        waits = serving(lambda ws: opened.get(timeout=PATIENCE), EagerHandler)
        with waits as server, wsdriver.connect(server.url) as ws:
            opened.set("open while the application waits")
            assert server.done.get(timeout=PATIENCE)
            assert ws.receive(PATIENCE) is None

    def test_refused_request_is_not_for_the_application(self) -> None:
        with serving(lambda ws: None, EagerHandler) as server:
            assert ask_badly(server) == b"HTTP/1.1 426"
            assert not server.done.ready()
