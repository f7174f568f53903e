"""Flask-Sock and simple-websocket: unchanged under our worker, and with another import line."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

import pytest

import wsdriver
from tests.moving.conftest import Application
from tests.support.gunicorn import Server
from tests.support.net import frame, read_frame
from tests.support.peers import need_module
from tests.support.wire import CLOSE, until


@pytest.fixture(scope="module", params=["unchanged", "ours", "ours-gthread"])
def case(request: pytest.FixtureRequest) -> str:
    need_module("flask_sock")
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def app(case: str, mounted: Callable[[str], Server]) -> Application:
    """Our modules run wherever a wsdriver.WebSocket does."""
    return Application(mounted(case), "flask-sock")


def test_page_is_a_page(app: Application) -> None:
    assert app.get("/").body == b"a page"


@pytest.mark.parametrize("path", ["/echo", "/direct"])
def test_echo(app: Application, path: str) -> None:
    app.server.mark()
    with wsdriver.connect(app.url + path) as ws:
        for message in ("hello", "Grüße 🎉", b"\x00\xff" * 300, "x" * 70_000):
            ws.send(message)
            assert ws.receive(10) == message
    assert ws.close_code == 1000
    app.server.assert_quiet()


def test_large_message_is_whole(app: Application, case: str) -> None:
    """What Flask-Sock itself cuts short: it looks at no result of ``socket.send``."""
    if case == "unchanged":
        return
    message = bytes(range(256)) * 40_000
    with wsdriver.connect(app.url + "/echo") as ws:
        ws.send(message)
        assert ws.receive(30) == message


def test_timeouts_are_none_and_anything_is_sent_as_text(app: Application) -> None:
    with wsdriver.connect(app.url + "/patient?name=ada", ["chat"]) as ws:
        assert ws.receive(10) == "5"
        assert ws.receive(10) == "chat ada"
        assert ws.receive(10) is None
    assert (ws.close_code, ws.close_reason) == (4000, "enough")


def test_variable_of_a_blueprints_path(app: Application) -> None:
    with wsdriver.connect(app.url + "/rooms/name/ada") as ws:
        assert ws.receive(10) == "ada"
        assert ws.receive(10) is None


def test_end_has_its_code_and_reason(app: Application) -> None:
    with app.open("/end") as wire:
        wire.send(frame(CLOSE, struct.pack("!H", 3005) + b"bye"))
        assert read_frame(wire.recv)[0] == CLOSE

    def ended() -> list[object]:
        found: list[object] = json.loads(app.get("/ended").body)
        return found

    until(ended, "the end")
    assert ended() == [[3005, "bye", False]]


def test_bad_request_is_refused(app: Application, case: str) -> None:
    if case == "unchanged":
        return  # it raises an exception
    assert app.ask_badly("/echo") == 426
