"""The test client with plain WSGI applications: WebSockets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gevent
import pytest

import wsdriver
from wsdriver.testing import Client

ROOT = Path(__file__).resolve().parents[2]

Environ = dict[str, Any]


def plain(handler: Callable[[wsdriver.WebSocket], object]) -> Callable[..., Iterable[bytes]]:
    """Return the WSGI application that gives each WebSocket to a handler."""

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        ws = wsdriver.WebSocket(environ, protocols=["chat.v2", "chat.v1"])
        handler(ws)
        return ws.wsgi_response()

    return app


def echo(ws: wsdriver.WebSocket) -> None:
    for message in ws:
        ws.send(message)


def test_messages_go_and_come() -> None:
    with Client(plain(echo)).websocket() as ws:
        ws.send("hello")
        assert ws.receive() == "hello"
        ws.send(b"\0\1")
        assert ws.receive(timeout=1) == b"\0\1"
        ws.send_json({"a": [1, None]})
        assert ws.receive_json() == {"a": [1, None]}
        assert ws.state == "open"
    assert (ws.close_code, ws.was_clean, ws.state) == (1000, True, "closed")


def test_large_message_goes_and_comes() -> None:
    message = "ä" * 3_000_000
    with Client(plain(echo)).websocket() as ws:
        ws.send(message)
        assert ws.receive() == message


def test_environ_is_as_under_a_server() -> None:
    seen: Environ = {}

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        seen.update(environ)
        return plain(echo)(environ, start_response)

    client = Client(app, headers={"Cookie": "session=1"}, environ={"REMOTE_ADDR": "192.0.2.1", "REMOTE_USER": "ada"})
    asked = {"headers": [("X-One", "1")], "origin": "https://example.com", "protocols": ["chat.v1"]}
    with client.websocket("/räume/1?name=ada%20l", **asked) as ws:
        assert ws.protocol == "chat.v1"
        assert ws.url == "ws://testserver/räume/1?name=ada%20l"
    expected = {
        "PATH_INFO": "/räume/1".encode().decode("latin-1"),
        "QUERY_STRING": "name=ada%20l",
        "HTTP_HOST": "testserver",
        "SERVER_NAME": "testserver",
        "HTTP_ORIGIN": "https://example.com",
        "HTTP_COOKIE": "session=1",
        "HTTP_X_ONE": "1",
        "REMOTE_USER": "ada",
        "wsgi.url_scheme": "http",
        "REMOTE_ADDR": "192.0.2.1",
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert wsdriver.is_websocket(seen)


def test_extensions_are_agreed_upon() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        ws = wsdriver.WebSocket(environ, extensions=[wsdriver.PermessageDeflate()])
        echo(ws)
        return ws.wsgi_response()

    with Client(app).websocket(extensions=[wsdriver.PermessageDeflate()]) as ws:
        assert "permessage-deflate" in ws.headers["Sec-WebSocket-Extensions"]
        ws.send("x" * 10_000)
        assert ws.receive() == "x" * 10_000
        assert ws.bytes_received < 1000


def test_close_of_the_application_is_seen() -> None:
    with Client(plain(lambda ws: ws.close(4001, "no more"))).websocket() as ws:
        assert ws.receive() is None
        assert (ws.close_code, ws.close_reason, ws.was_clean) == (4001, "no more", True)
        with pytest.raises(wsdriver.ConnectionClosed):
            ws.send("late")


def test_close_of_the_test_is_seen_by_the_application() -> None:
    seen = []

    def handler(ws: wsdriver.WebSocket) -> None:
        echo(ws)
        gevent.sleep(0.05)  # the test waits for that too
        seen.append((ws.close_code, ws.close_reason))

    ws = Client(plain(handler)).websocket()
    ws.close(4000, "bye")
    assert seen == [(4000, "bye")]


def test_lost_connection_is_seen_by_the_application() -> None:
    seen = []

    def handler(ws: wsdriver.WebSocket) -> None:
        echo(ws)
        seen.append(ws.close_code)

    client = Client(plain(handler))
    with client.websocket() as ws:
        ws.terminate()
        assert client.wait_until(lambda: seen) == [1006]


def test_iteration_ends_with_the_connection() -> None:
    def count(ws: wsdriver.WebSocket) -> None:
        for number in range(3):
            ws.send(str(number))

    with Client(plain(count)).websocket() as ws:
        assert list(ws) == ["0", "1", "2"]


def test_two_clients_meet_in_one_room() -> None:
    room: set[wsdriver.WebSocket] = set()

    def chat(ws: wsdriver.WebSocket) -> None:
        room.add(ws)
        try:
            for message in ws:
                wsdriver.broadcast(room, message)
        finally:
            room.discard(ws)

    client = Client(plain(chat))
    with client.websocket() as ada:
        with client.websocket() as grace:
            client.wait_until(lambda: len(room) == 2)
            ada.send("hello")
            assert (ada.receive(), grace.receive()) == ("hello", "hello")
        assert len(room) == 1
    assert not room


def test_listeners_work_on_both_sides() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        ws = wsdriver.WebSocket(environ)
        ws.on("message", lambda event: ws.send(event.data.upper()))
        return ws.wsgi_response()

    heard = []
    with Client(app).websocket() as ws:
        ws.on("close", lambda event: heard.append(event.code))
        ws.send("a")
        assert ws.receive() == "A"
    assert heard == [1000]


# --- refusals ---------------------------------------------------------------------------------------------------------


def refuse(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("401 Unauthorized", [("WWW-Authenticate", "Basic"), ("Content-Type", "text/plain")])
    return [b"who are you?"]


def test_refusal_is_a_handshake_error() -> None:
    with pytest.raises(wsdriver.HandshakeError) as refused:
        Client(refuse).websocket("/secret")
    assert (refused.value.status, refused.value.body) == (401, b"who are you?")
    assert refused.value.headers["WWW-Authenticate"] == "Basic"


def test_refusal_by_reject_is_a_handshake_error() -> None:
    with pytest.raises(wsdriver.HandshakeError, match="403") as refused:
        Client(plain(lambda ws: ws.reject(403, "members only"))).websocket("/secret")
    assert (refused.value.status, refused.value.body) == (403, b"members only\n")


def test_refusal_of_an_origin_is_a_handshake_error() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return wsdriver.WebSocket(environ, origins="same").wsgi_response()

    client = Client(app)
    client.websocket("/", origin="http://testserver").close()
    with pytest.raises(wsdriver.HandshakeError) as refused:
        client.websocket("/", origin="http://example.com")
    assert refused.value.status == 403


# --- errors -----------------------------------------------------------------------------------------------------------


def crash(ws: wsdriver.WebSocket) -> None:
    ws.send("one")
    ws.receive()
    raise LookupError("the application's own")


def test_error_of_the_application_is_raised_by_receive() -> None:
    with Client(plain(crash)).websocket() as ws:
        assert ws.receive() == "one"
        ws.send("go on")
        with pytest.raises(LookupError, match="the application's own") as raised:
            ws.receive()
    assert raised.traceback[-1].name == "crash"
    assert ws.close_code == 1011


def test_error_of_the_application_is_raised_at_the_end() -> None:
    with pytest.raises(LookupError, match="the application's own"), Client(plain(crash)).websocket():
        pass


def test_error_of_the_application_is_raised_by_send() -> None:
    client = Client(plain(crash))
    ws = client.websocket()
    ws.send("go on")
    client.wait_until(lambda: ws.state == "closed")
    with pytest.raises(LookupError, match="the application's own"):
        ws.send("more")


def test_error_before_the_handshake_is_raised() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        raise LookupError("no handshake")

    with pytest.raises(LookupError, match="no handshake") as raised:
        Client(app).websocket()
    assert raised.value.__context__ is None
    with pytest.raises(wsdriver.HandshakeError) as refused:
        Client(app, raise_errors=False).websocket()
    assert refused.value.status == 500


def test_error_of_the_application_may_be_left_to_it() -> None:
    with Client(plain(crash), raise_errors=False).websocket() as ws:
        ws.send("go on")
        assert list(ws) == ["one"]
    assert ws.close_code == 1011


def test_error_of_the_test_comes_out_before_the_applications() -> None:
    def fail() -> None:
        with Client(plain(crash)).websocket() as ws:
            ws.send("go on")
            gevent.sleep(0.01)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_error_of_the_test_ends_an_application_that_waits() -> None:
    ended = []

    def handler(ws: wsdriver.WebSocket) -> None:
        ws.accept()
        try:
            gevent.sleep(1000)
        finally:
            ended.append(ws.close_code)

    def fail() -> None:
        with Client(plain(handler), timeout=1000).websocket():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert ended == [1006]


def test_application_that_finds_the_client_gone_has_no_error() -> None:
    def handler(ws: wsdriver.WebSocket) -> None:
        while True:
            ws.send("tick")
            gevent.sleep(0.001)

    with Client(plain(handler)).websocket() as ws:
        assert ws.receive() == "tick"


def test_application_that_uses_its_websocket_after_its_own_close_has_one() -> None:
    def handler(ws: wsdriver.WebSocket) -> None:
        ws.close(4000)
        ws.send("late")

    ws = Client(plain(handler)).websocket()
    assert ws.receive() is None
    with pytest.raises(wsdriver.ConnectionClosed, match="closed with code 4000"):
        ws.close()


# --- timeouts ---------------------------------------------------------------------------------------------------------


def stuck_in_a_wait() -> None:
    gevent.sleep(1000)


def test_silence_times_out_and_says_where_the_application_is() -> None:
    client = Client(plain(lambda ws: (ws.receive(), stuck_in_a_wait())), timeout=0.1)
    ws = client.websocket()
    with pytest.raises(TimeoutError, match=r"no message came within 0\.1 seconds"):
        ws.receive()
    ws.send("a message")
    where = (
        r"no message came within 0.01 seconds; the application is still in stuck_in_a_wait\(\), .*test_websocket.py:"
    )
    with pytest.raises(TimeoutError, match=where):
        ws.receive(0.01)
    with pytest.raises(
        TimeoutError, match=r"closed, but 0.1 seconds later the application is still in stuck_in_a_wait"
    ):
        ws.close()


def test_handshake_that_does_not_come_times_out() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        stuck_in_a_wait()
        return []

    where = r"within 0.1 seconds; the application is still in stuck_in_a_wait\(\)"
    with pytest.raises(TimeoutError, match=where):
        Client(app, timeout=0.1).websocket()


def test_end_that_does_not_come_times_out() -> None:
    client = Client(plain(lambda ws: (ws.receive(), stuck_in_a_wait())), timeout=0.1)
    ws = client.websocket()
    with pytest.raises(TimeoutError, match=r"the end has not come within 0.1 seconds"):
        ws.run()
    ws.terminate()


def test_message_that_nobody_takes_times_out() -> None:
    ws = Client(plain(lambda ws: (ws.accept(), stuck_in_a_wait())), timeout=0.1).websocket()

    def send_many() -> None:
        for _ in range(50):
            ws.send(b"x" * 400_000)

    with pytest.raises(wsdriver.ConnectionClosed) as closed:
        send_many()
    assert isinstance(closed.value.__cause__, TimeoutError)


def test_condition_that_does_not_come_times_out() -> None:
    with pytest.raises(TimeoutError, match=r"has not come about within 0\.01 seconds"):
        Client(refuse).wait_until(lambda: False, 0.01)


# --- the client -------------------------------------------------------------------------------------------------------


def test_client_closes_what_is_open() -> None:
    ended = []

    def handler(ws: wsdriver.WebSocket) -> None:
        echo(ws)
        ended.append(ws.close_code)

    with Client(plain(handler)) as client:
        client.websocket()
        client.websocket()
    assert ended == [1000, 1000]
    with pytest.raises(LookupError, match="the application's own"), Client(plain(crash)) as client:
        client.websocket()


def test_handler_of_a_server_is_tested_too() -> None:
    def chat(ws: wsdriver.WebSocket, room: str) -> None:
        ws.send(f"{room} {ws.handshake.query['name']} {ws.remote_address[0]}")
        assert ws.receive() == "fine", "what an assertion in a handler says"

    client = Client(handler={"/chat/{room}": chat}, origins=["https://example.com"])
    with client.websocket("/chat/lobby?name=ada", origin="https://example.com") as ws:
        assert ws.receive() == "lobby ada 127.0.0.1"
        ws.send("fine")
    for path, origin, status in [
        ("/nowhere", "https://example.com", 404),
        ("/chat/lobby", "https://evil.example", 403),
    ]:
        with pytest.raises(wsdriver.HandshakeError) as refused:
            client.websocket(path, origin=origin)
        assert refused.value.status == status
    with client.websocket("/chat/lobby?name=ada", origin="https://example.com") as ws:
        ws.receive()
        ws.send("wrong")
        with pytest.raises(AssertionError, match="what an assertion in a handler says"):
            ws.receive()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "give either app"),
        ({"app": refuse, "handler": echo}, "give either app"),
        ({"app": "examples.chat:app"}, "app must be a WSGI application"),
        ({"app": refuse, "max_length": 5}, "max_length: such options go with handler"),
        ({"handler": echo, "environ": {"REMOTE_USER": "ada"}}, "environ goes with app"),
        ({"handler": echo, "max_lenght": 5}, "did you mean 'max_length'"),
        ({"app": refuse, "timeout": 0}, "timeout must be"),
        ({"app": refuse, "host": "a b"}, "spaces"),
        ({"app": refuse, "raise_errors": 1}, "raise_errors must be"),
    ],
)
def test_wrong_argument_is_refused_at_the_call(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(wsdriver.ConfigurationError, match=sentence):
        Client(**arguments)


@pytest.mark.parametrize(
    ("path", "options", "sentence"),
    [
        ("chat", {}, "must begin with a slash"),
        ("ws://localhost/chat", {}, "must begin with a slash"),
        ("/", {"protocols": ["a b"]}, "protocols"),
        ("/", {"max_lenght": 5}, "did you mean 'max_length'"),
        ("/", {"headers": {"Upgrade": "h2c"}}, "handshake itself"),
    ],
)
def test_wrong_request_is_refused_at_the_call(path: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(wsdriver.ConfigurationError, match=sentence):
        Client(refuse).websocket(path, **options)


@pytest.mark.parametrize("beginning", ["", "from gevent import monkey; monkey.patch_all()"])
def test_program_needs_no_patches_and_minds_none(beginning: str) -> None:
    program = f"""{beginning}
import threading, time
import wsdriver
from wsdriver.testing import Client

def app(environ, start_response):
    ws = wsdriver.WebSocket(environ)
    lock = threading.Lock()
    for message in ws:
        with lock:
            time.sleep(0.001)
            ws.send(message)
    return ws.wsgi_response()

with Client(app) as client:
    one, two = client.websocket(), client.websocket()
    one.send("1"); two.send("2")
    print(two.receive(), one.receive())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 1\n", "")
