"""However a connection ends: ``close`` fires once, errors reach the log and the listeners, and the server goes on."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent import socket

import wsdriver
from tests.support.net import frame, read_frame, read_head, request
from tests.support.serving import serving

Handler = Callable[[wsdriver.WebSocket], None]


class Application:
    """A handler that listens to everything, and notes what it hears."""

    def __init__(self, style: str, **failing: BaseException) -> None:
        self.style = style
        self.failing = failing
        self.heard: list[Any] = []

    def __call__(self, ws: wsdriver.WebSocket) -> None:
        if ws.handshake.path == "/echo":
            for message in ws:
                ws.send(message)
            return
        for event in ("open", "ping", "error", "close"):
            ws.on(event, lambda value, event=event: self.hear(event, value))
        if self.style == "listeners":
            ws.on("message", lambda value: self.hear("message", value))
            return
        ws.accept()
        self.fail("handler")
        if self.style == "idle":
            while ws.state == "open":
                gevent.sleep(0.01)
        else:
            while ws.receive() is not None:
                self.fail("receiver")

    def hear(self, event: str, value: Any) -> None:
        self.heard.append((event, value))
        self.fail(event)

    def fail(self, where: str) -> None:
        error = self.failing.get(where)
        if error is not None:
            raise error.with_traceback(None)

    @property
    def closes(self) -> list[tuple[int, bool]]:
        return [(event.code, event.was_clean) for name, event in self.heard if name == "close"]

    @property
    def errors(self) -> list[BaseException]:
        return [error for name, error in self.heard if name == "error"]


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[Any]]]:
    """Returns the errors whose traceback is in the log. Nothing is told to gevent, which would print it."""
    caplog.set_level(logging.WARNING, "wsdriver")
    yield lambda: [record.exc_info and record.exc_info[1] for record in caplog.records]
    assert capfd.readouterr().err == ""


@contextmanager
def client(server: Any, start: bytes = b"") -> Iterator[Any]:
    """A connection that has been opened."""
    with gevent.Timeout(10), socket.create_connection(("127.0.0.1", server.server_port), 10) as sock:
        sock.sendall(request("/", "") + start)
        read_head(sock.recv)
        yield sock


def ended(server: Any, application: Application) -> None:
    """Wait until all is over, and look whether the server still serves."""
    with gevent.Timeout(10):
        while len(server.connections) or not application.closes:
            gevent.sleep(0.005)
        gevent.sleep(0.02)  # for a second one that must not come
        if server.started:
            with wsdriver.connect(f"{server.url}echo") as ws:
                ws.send("still here")
                assert ws.receive(5) == "still here"


def code_of(sock: Any) -> int:
    opcode, payload = read_frame(sock.recv)
    assert opcode == 8
    return int.from_bytes(payload[:2], "big")


@pytest.mark.parametrize("style", ["listeners", "receiver", "idle"])
class TestOnce:
    def test_clean(self, style: str, logged: Any) -> None:
        application = Application(style)
        with serving(application) as server:
            with client(server, frame(8, b"\x0f\xa1bye")) as sock:
                assert code_of(sock) == 4001
            ended(server, application)
        assert application.closes == [(4001, True)]
        assert application.errors == logged() == []

    @pytest.mark.parametrize("how", ["FIN", "RST"])
    def test_dropped(self, style: str, how: str, logged: Any) -> None:
        application = Application(style)
        with serving(application) as server:
            with client(server) as sock:
                if how == "RST":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            ended(server, application)
        assert application.closes == [(1006, False)]
        assert application.errors == logged() == []

    def test_protocol_error(self, style: str, logged: Any) -> None:
        application = Application(style)
        with serving(application) as server:
            with client(server, frame(3)) as sock:
                assert code_of(sock) == 1002
                assert sock.recv(1) == b""
            ended(server, application)
        assert application.closes == [(1002, False)]
        (error,) = application.errors
        assert isinstance(error, wsdriver.ProtocolError)
        assert error.code == 1002
        assert logged() == []

    def test_stop(self, style: str, logged: Any) -> None:
        application = Application(style)
        with serving(application) as server, client(server) as sock:
            stopping = gevent.spawn(server.stop)
            assert code_of(sock) == 1001
            sock.sendall(frame(8, b"\x03\xe9"))
            assert sock.recv(1) == b""
            stopping.join()
            ended(server, application)
        assert application.closes == [(1001, True)]
        assert application.errors == logged() == []

    def test_terminate(self, style: str, logged: Any) -> None:
        application = Application(style)
        with serving(application) as server:
            with client(server) as sock:
                for ws in server.connections:
                    ws.terminate()
                assert sock.recv(1) == b""
            ended(server, application)
        assert application.closes == [(1006, False)]
        assert application.errors == logged() == []

    def test_close_of_a_peer_that_does_not_answer(self, style: str, logged: Any) -> None:
        application = Application(style)
        with serving(application, close_timeout=0.1) as server:
            with client(server) as sock:
                for ws in server.connections:
                    gevent.spawn(ws.close, 4002)
                assert code_of(sock) == 4002
                assert sock.recv(1) == b""
            ended(server, application)
        assert application.closes == [(1006, False)]
        assert application.errors == logged() == []

    def test_refused_handshake(self, style: str, logged: Any) -> None:
        """One that is found wrong when it is answered: the listeners are there by then."""
        application = Application(style)
        wrong = request("/", "Sec-WebSocket-Extensions: permessage-deflate;;\r\n")
        with serving(application, extensions=[wsdriver.PermessageDeflate()]) as server:
            with gevent.Timeout(10), socket.create_connection(("127.0.0.1", server.server_port), 10) as sock:
                sock.sendall(wrong)
                assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
            ended(server, application)
        assert len(application.closes) == 1
        (error,) = application.errors
        assert isinstance(error, wsdriver.HandshakeError)
        assert [name for name, _ in application.heard] == ["error", "close"]
        assert logged() == []

    @pytest.mark.parametrize("how", ["clean", "dropped", "protocol error"])
    def test_error_in_the_listener_for_close_is_logged_and_told(self, style: str, how: str, logged: Any) -> None:
        failure = ZeroDivisionError("in close")
        application = Application(style, close=failure)
        start = {"clean": frame(8, b"\x0f\xa1"), "dropped": b"", "protocol error": frame(3)}[how]
        with serving(application) as server:
            with client(server, start) as sock:
                if start:
                    read_frame(sock.recv)
            ended(server, application)
        assert len(application.closes) == 1
        assert application.errors[-1] is failure
        assert len(application.errors) == (2 if how == "protocol error" else 1)
        assert logged() == [failure]

    def test_error_in_the_listener_for_errors_harms_nobody(self, style: str, logged: Any) -> None:
        failure = ZeroDivisionError("in error")
        application = Application(style, error=failure)
        with serving(application) as server:
            with client(server, frame(3)) as sock:
                assert code_of(sock) == 1002
            ended(server, application)
        assert len(application.closes) == 1
        assert isinstance(application.errors[0], wsdriver.ProtocolError)
        assert failure in logged()


#: What the peer sends, by where it makes the application fail.
STARTS = {"message": frame(1, b"x"), "receiver": frame(1, b"x"), "ping": frame(9)}


@pytest.mark.parametrize(
    ("style", "where"),
    [
        ("listeners", "open"),
        ("listeners", "message"),
        ("listeners", "ping"),
        ("receiver", "open"),
        ("receiver", "handler"),
        ("receiver", "receiver"),
        ("receiver", "ping"),
        ("idle", "handler"),
    ],
)
@pytest.mark.parametrize("also", [(), ("error",), ("error", "close")], ids=", ".join)
def test_error_of_an_application_is_logged_told_and_closes_with_1011(
    style: str, where: str, also: tuple[str, ...], logged: Any
) -> None:
    failure = ZeroDivisionError(f"in {where}")
    others = {name: LookupError(f"in {name}") for name in also}
    application = Application(style, **{where: failure}, **others)
    with serving(application) as server:
        with client(server, STARTS.get(where, b"")) as sock:
            opcode, payload = read_frame(sock.recv)
            while opcode == 10:
                opcode, payload = read_frame(sock.recv)
            assert (opcode, payload[:2]) == (8, b"\x03\xf3")
            sock.sendall(frame(8, payload))
            assert sock.recv(1) == b""
        ended(server, application)
    assert application.closes == [(1011, True)]
    assert application.errors[0] is failure
    if not also:
        assert application.errors == [failure]
        assert logged() == [failure]
    assert logged()[0] is failure
    for error in others.values():
        assert error in logged()


def test_error_in_a_handler_before_the_handshake_is_a_500(logged: Any) -> None:
    failure = ZeroDivisionError("in handler")
    heard: list[Any] = []

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.on("error", heard.append)
        ws.on("close", lambda event: heard.append("close"))
        raise failure

    with serving(handler) as server, gevent.Timeout(10):
        with socket.create_connection(("127.0.0.1", server.server_port), 10) as sock:
            sock.sendall(request())
            assert sock.recv(1000).startswith(b"HTTP/1.1 500 ")
        while len(server.connections) or "close" not in heard:
            gevent.sleep(0.005)
        gevent.sleep(0.02)
    assert heard[0] is failure
    assert heard[1].status == 500
    assert heard[2:] == ["close"]
    assert logged() == [failure]


@pytest.mark.parametrize("style", ["listeners", "receiver", "idle"])
def test_handler_that_is_killed_leaves_nothing(style: str, logged: Any) -> None:
    application = Application(style)
    greenlets: list[Any] = []

    def spawn(*arguments: Any) -> Any:
        greenlets.append(gevent.spawn(*arguments))
        return greenlets[-1]

    with serving(application, spawn=spawn) as server:
        with client(server) as sock:
            while len(application.heard) < 1:
                gevent.sleep(0.005)
            gevent.sleep(0.02)
            greenlets[0].kill()
            assert code_of(sock) == 1001
            assert sock.recv(1) == b""
        ended(server, application)
    assert len(application.closes) == 1
    assert application.errors == logged() == []


def test_handler_that_is_killed_while_it_waits_for_the_end_leaves_nothing(logged: Any) -> None:
    greenlets: list[Any] = []

    def spawn(*arguments: Any) -> Any:
        greenlets.append(gevent.spawn(*arguments))
        return greenlets[-1]

    application = Application("receiver", receiver=ZeroDivisionError())
    with serving(application, spawn=spawn) as server:
        with client(server, frame(1, b"x")) as sock:
            assert code_of(sock) == 1011  # which we do not answer
            greenlets[0].kill()
            assert sock.recv(1) == b""
        ended(server, application)
    assert application.closes == [(1006, False)]
