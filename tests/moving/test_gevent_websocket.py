"""Applications of gevent-websocket: unchanged under our worker, and with another import line."""

from __future__ import annotations

import json
import signal
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import wsdriver
from tests.moving.conftest import Start
from tests.support.gunicorn import Server
from tests.support.net import frame, read_frame, read_head
from tests.support.peers import need_module
from tests.support.wire import CLOSE, PING, TEXT, until

APPLICATION = "tests.moving.gevent_websocket_app:app"
OURS = "wsdriver.compat.geventwebsocket"


@dataclass(frozen=True)
class Case:
    """A way to start the application.

    Attributes:
        worker: gunicorn's ``-k``; None for its own server.
        package: what it imports.
        eager: whether the handshake is done before it is called, as there, and not at its first use.
    """

    worker: str | None
    package: str
    eager: bool


CASES = {
    "other -k": Case("wsdriver.worker", "geventwebsocket", False),
    "other import": Case(f"{OURS}.gunicorn.workers.GeventWebSocketWorker", OURS, True),
    "WebSocketServer": Case(None, OURS, True),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    need_module("geventwebsocket")
    return CASES[request.param]


@pytest.fixture(scope="module")
def running(case: Case, start: Start) -> Server:
    return start(APPLICATION, worker=case.worker, GEVENTWEBSOCKET=case.package)


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server whose log has nothing above info after the test."""
    running.mark()
    yield running
    running.assert_quiet()


@pytest.fixture
def happened(server: Server) -> Callable[[], list[str]]:
    """What the application says has happened since the test began."""

    def log() -> list[str]:
        with server.dial() as wire:
            found: list[str] = json.loads(wire.get("/log").body)
            return found

    before = len(log())
    return lambda: log()[before:]


def wait_for(happened: Callable[[], list[str]], *what: str) -> None:
    """Wait until that has happened, and no more."""
    until(lambda: len(happened()) >= len(what), f"{what}")
    assert happened() == list(what)


class TestRequests:
    def test_plain_request_has_no_websocket(self, server: Server) -> None:
        with server.dial() as wire:
            assert json.loads(wire.get("/plain").body) == []

    def test_request_is_told(self, server: Server) -> None:
        with server.dial().open("/told?a=1", "Origin: http://a.example\r\nSec-WebSocket-Protocol: a, b\r\n") as wire:
            assert json.loads(wire.message()) == ["/told", "http://a.example", "13", "a, b", "a=1"]
            assert read_frame(wire.recv) == (PING, b"are you there")
            assert read_frame(wire.recv) == (TEXT, b"frame")
            assert wire.closed() == 1000

    def test_application_names_its_subprotocol(self, server: Server) -> None:
        with server.dial() as wire:
            wire.ask("/speaker", "Sec-WebSocket-Protocol: superchat, chat\r\n")
            assert b"Sec-WebSocket-Protocol: chat\r\n" in wire.opened()
            assert wire.message() == "open"
        with server.dial() as wire:
            wire.ask("/speaker", "Sec-WebSocket-Protocol: superchat\r\n")
            assert b"Sec-WebSocket-Protocol" not in wire.opened()

    def test_bad_request_is_refused(self, server: Server) -> None:
        with server.dial() as wire:
            assert wire.ask_badly("an unknown version", "/loop") == 426


class TestMessages:
    @pytest.mark.parametrize("path", ["/echo", "/loop", "/uncaught", "/kinds"])
    def test_echo(self, server: Server, path: str) -> None:
        with wsdriver.connect(server.url + path) as ws:
            for message in ("", "hello", "Grüße 🎉", b"", b"\x00\xff" * 300, "x" * 70_000):
                ws.send(message)
                if path == "/kinds":
                    assert ws.receive(10) == ("str" if isinstance(message, str) else "bytearray")
                assert ws.receive(10) == message
        assert (ws.close_code, ws.was_clean) == (1000, True)

    def test_messages_before_the_close_frame_are_received(self, server: Server) -> None:
        frames = frame(TEXT, b"one") + frame(TEXT, b"two") + frame(CLOSE, b"\x03\xe8")
        with server.dial().open("/loop", early=frames) as wire:
            found = [read_frame(wire.recv)]
            while found[-1][0] not in (CLOSE, -1):
                found.append(read_frame(wire.recv))
            assert found[-1] == (CLOSE, b"\x03\xe8")

    def test_generator_is_an_application_too(self, server: Server) -> None:
        with wsdriver.connect(server.url + "/generator") as ws:
            ws.send("hello")
            assert ws.receive(10) == "hello"
            assert ws.receive(10) is None
        assert ws.close_code == 1000


class TestTheEnd:
    def test_receive_says_none_once_and_then_raises(self, server: Server, happened: Any) -> None:
        with server.dial().open("/twice") as wire:
            assert wire.leave(3000) == 3000
        wait_for(happened, "None error error True")

    def test_send_to_one_that_has_gone_raises_what_is_caught(self, server: Server, happened: Any) -> None:
        with server.dial().open("/loop") as wire:
            wire.leave()
        wait_for(happened, "error True")

    @pytest.mark.parametrize(
        ("code", "reason"), [(1000, ""), (1001, "away"), (1011, "Grüße"), (4000, "x" * 200), (1008, None)]
    )
    def test_close_says_why(self, server: Server, happened: Any, code: int, reason: str | None) -> None:
        with server.dial().open("/closes") as wire:
            wire.send(frame(TEXT, json.dumps([code, reason]).encode()))
            assert read_frame(wire.recv) == (CLOSE, struct.pack("!H", code) + (reason or "").encode()[:123])
            wait_for(happened, "error", "error", "closed True")  # before the client has answered
            wire.say_close()
            assert wire.ended()

    def test_who_does_not_receive_learns_of_the_end(self, server: Server, happened: Any) -> None:
        with server.dial().open("/outbox") as wire:
            wire.leave()
        wait_for(happened, "outbox over")

    def test_handler_that_does_nothing_closes(self, server: Server) -> None:
        with server.dial().open("/silent") as wire:
            assert wire.closed() == 1000

    def test_reset_is_no_error(self, server: Server, happened: Any) -> None:
        with server.dial().open("/twice") as wire:
            wire.text("hello")
            wire.reset()
        until(happened, "the end")
        assert happened()[0].endswith("True")


class TestClasses:
    def test_application_is_told_of_the_end(self, server: Server, case: Case, happened: Any) -> None:
        with wsdriver.connect(server.url + "/echo") as ws:
            ws.send("hello")
            assert ws.receive(10) == "hello"
            wait_for(happened, "open")
        if case.package == "geventwebsocket":
            # Its class calls on_message(None) first, and not on_close if that raises, as the README's example does.
            return
        wait_for(happened, "open", "close")

    def test_clients_find_each_other(self, server: Server, happened: Any) -> None:
        def names(ws: Any) -> list[str]:
            ws.send(json.dumps({"msg_type": "update_clients", "nickname": ws.name}))
            found: list[str] = json.loads(ws.receive(10))["clients"]
            return found

        with wsdriver.connect(server.url + "/chat") as ada, wsdriver.connect(server.url + "/chat") as bob:
            ada.name, bob.name = "ada", "bob"
            names(ada)
            assert names(bob) == ["ada", "bob"]
            ada.send(json.dumps({"msg_type": "message", "text": "hello"}))
            for ws in (ada, bob):
                assert json.loads(ws.receive(10))["text"] == "hello"
            bob.close()
            wait_for(happened, "no message", "close bob")
            assert names(ada) == ["ada"]

    def test_path_of_nobody_is_refused(self, server: Server, case: Case) -> None:
        if case.package == "geventwebsocket":
            return  # its class raises an exception
        with server.dial() as wire:
            wire.ask("/nowhere")
            head = read_head(wire.recv)
            if head.startswith(b"HTTP/1.1 101 "):  # the handshake has gone out already
                assert wire.closed() == 1008
            else:
                assert head.startswith(b"HTTP/1.1 404 ")


def test_handshake_comes_first_where_that_is_ours(server: Server, case: Case) -> None:
    """A handler that waits for something else is open meanwhile, as with gevent-websocket."""
    with server.dial() as wire:
        wire.ask("/pushes")
        if case.eager:
            wire.opened()
        until(lambda: push(server) > b"0", "the handler")
        if not case.eager:
            wire.opened()  # by the first message
        assert wire.message() == "pushed"


def push(server: Server) -> bytes:
    with server.dial() as wire:
        return wire.get("/push").body


def test_error_is_of_both_libraries() -> None:
    theirs = need_module("geventwebsocket.exceptions")
    from wsdriver.green.legacy import LegacyWebSocket

    error = LegacyWebSocket({"REQUEST_METHOD": "GET"})._closed_error()
    assert isinstance(error, theirs.WebSocketError)
    assert isinstance(error, wsdriver.ConnectionClosed)
    assert isinstance(error, BrokenPipeError)
    assert str(error) == "the connection was never opened"


def test_server_stops_with_1001(running: Server, case: Case) -> None:
    """The last test of all: the server is gone after it."""
    if case.worker is None:
        return  # it has no handler for the signal
    with running.dial().open("/loop") as wire:
        wire.text("hello")
        assert wire.message() == "hello"
        running.signal(signal.SIGTERM)
        assert wire.closed() == 1001
    assert running.wait(10) == 0
