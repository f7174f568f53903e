"""Flask-Sock and simple-websocket: unchanged under our worker, and with another import line."""

from __future__ import annotations

import json
import struct

import pytest

import wsdriver
from tests.moving.conftest import Start
from tests.support.gunicorn import Server
from tests.support.net import frame, read_frame
from tests.support.peers import need_module
from tests.support.wire import CLOSE, until

#: What the application imports, and the gunicorn worker class: our modules run wherever a wsdriver.WebSocket does.
CASES = {
    "unchanged": ("flask_sock", "simple_websocket", "wsdriver.worker", ()),
    "ours": ("wsdriver.compat.flask_sock", "wsdriver.compat.simple_websocket", "wsdriver.worker", ()),
    "ours-gthread": (
        "wsdriver.compat.flask_sock",
        "wsdriver.compat.simple_websocket",
        "gthread",
        ("--threads", "16"),
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server(case: str, start: Start) -> Server:
    sock, websocket, worker, arguments = CASES[case]
    need_module("flask_sock")
    return start(
        "tests.moving.flask_sock_app:app", *arguments, worker=worker, FLASK_SOCK=sock, SIMPLE_WEBSOCKET=websocket
    )


def test_page_is_a_page(server: Server) -> None:
    with server.dial() as wire:
        assert wire.get("/").body == b"a page"


@pytest.mark.parametrize("path", ["/echo", "/direct"])
def test_echo(server: Server, path: str) -> None:
    server.mark()
    with wsdriver.connect(server.url + path) as ws:
        for message in ("hello", "Grüße 🎉", b"\x00\xff" * 300, "x" * 70_000):
            ws.send(message)
            assert ws.receive(10) == message
    assert ws.close_code == 1000
    server.assert_quiet()


def test_large_message_is_whole(server: Server, case: str) -> None:
    """What Flask-Sock itself cuts short: it looks at no result of ``socket.send``."""
    if case == "unchanged":
        return
    message = bytes(range(256)) * 40_000
    with wsdriver.connect(server.url + "/echo") as ws:
        ws.send(message)
        assert ws.receive(30) == message


def test_timeouts_are_none_and_anything_is_sent_as_text(server: Server) -> None:
    with wsdriver.connect(server.url + "/patient?name=ada", ["chat"]) as ws:
        assert ws.receive(10) == "5"
        assert ws.receive(10) == "chat ada"
        assert ws.receive(10) is None
    assert (ws.close_code, ws.close_reason) == (4000, "enough")


def test_variable_of_a_blueprints_path(server: Server) -> None:
    with wsdriver.connect(server.url + "/rooms/name/ada") as ws:
        assert ws.receive(10) == "ada"
        assert ws.receive(10) is None


def test_end_has_its_code_and_reason(server: Server) -> None:
    with server.dial().open("/end") as wire:
        wire.send(frame(CLOSE, struct.pack("!H", 3005) + b"bye"))
        assert read_frame(wire.recv)[0] == CLOSE

    def ended() -> list[object]:
        with server.dial() as wire:
            found: list[object] = json.loads(wire.get("/ended").body)
            return found

    until(ended, "the end")
    assert ended() == [[3005, "bye", False]]


def test_bad_request_is_refused(server: Server, case: str) -> None:
    if case == "unchanged":
        return  # it raises an exception
    with server.dial() as wire:
        assert wire.ask_badly("an unknown version", "/echo") == 426
