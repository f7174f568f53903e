"""Flask-Sockets, with another import line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import wsdriver
from tests.moving.conftest import Application
from tests.support.gunicorn import Server
from tests.support.peers import need_module
from tests.support.wire import until


@pytest.fixture(scope="module")
def app(mounted: Callable[[str], Server]) -> Application:
    need_module("flask")
    return Application(mounted("ours"), "flask-sockets")


def test_echo_and_a_page_of_the_same_path(app: Application) -> None:
    with wsdriver.connect(app.url + "/echo") as ws:
        for message in ("hello", b"\x00\xff"):
            ws.send(message)
            assert ws.receive(10) == message
    assert ws.close_code == 1000
    assert app.get("/echo").body == b"a page of the same path"


def test_blueprint(app: Application) -> None:
    with wsdriver.connect(app.url + "/blue/path/41") as ws:
        assert ws.receive(10) == "tests.moving.flask_sockets_app 42"


def test_path_of_nobody_is_flasks(app: Application) -> None:
    with pytest.raises(wsdriver.HandshakeError) as caught:
        wsdriver.connect(app.url + "/blue/path/none")
    assert caught.value.status == 404


def test_chat_of_heroku(app: Application) -> None:
    def listeners() -> bytes:
        return app.get("/").body.split()[-1]

    with wsdriver.connect(app.url + "/receive") as out, wsdriver.connect(app.url + "/submit") as into:
        until(lambda: listeners() == b"1", "the one that listens")
        into.send("hello")
        assert out.receive(10) == "hello"
    until(lambda: listeners() == b"0", "the end of it")
