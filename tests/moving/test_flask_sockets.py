"""Flask-Sockets, with another import line."""

from __future__ import annotations

import pytest

import wsdriver
from tests.moving.conftest import Start
from tests.support.gunicorn import Server
from tests.support.peers import need_module
from tests.support.wire import until

#: gunicorn's -k: ours, and one that knows nothing of WebSockets.
WORKERS = ["wsdriver.worker", "gevent"]


@pytest.fixture(scope="module", params=WORKERS)
def server(request: pytest.FixtureRequest, start: Start) -> Server:
    need_module("flask")
    return start("tests.moving.flask_sockets_app:app", worker=request.param)


def test_echo_and_a_page_of_the_same_path(server: Server) -> None:
    with wsdriver.connect(server.url + "/echo") as ws:
        for message in ("hello", b"\x00\xff"):
            ws.send(message)
            assert ws.receive(10) == message
    assert ws.close_code == 1000
    with server.dial() as wire:
        assert wire.get("/echo").body == b"a page of the same path"


def test_blueprint(server: Server) -> None:
    with wsdriver.connect(server.url + "/blue/path/41") as ws:
        assert ws.receive(10) == "tests.moving.flask_sockets_app 42"


def test_path_of_nobody_is_flasks(server: Server) -> None:
    with pytest.raises(wsdriver.HandshakeError) as caught:
        wsdriver.connect(server.url + "/blue/path/none")
    assert caught.value.status == 404


def test_chat_of_heroku(server: Server) -> None:
    def listeners() -> bytes:
        with server.dial() as wire:
            return wire.get("/").body.split()[-1]

    with wsdriver.connect(server.url + "/receive") as out, wsdriver.connect(server.url + "/submit") as into:
        until(lambda: listeners() == b"1", "the one that listens")
        into.send("hello")
        assert out.receive(10) == "hello"
    until(lambda: listeners() == b"0", "the end of it")
