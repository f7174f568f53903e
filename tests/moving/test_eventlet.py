"""eventlet.websocket, with another import line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

import wsdriver
from tests.moving.conftest import Application
from tests.support.gunicorn import Server


@pytest.fixture(scope="module")
def app(mounted: Callable[[str], Server]) -> Application:
    return Application(mounted("ours"), "eventlet")


def test_echo_with_compression(app: Application) -> None:
    app.server.mark()
    with wsdriver.connect(app.url + "/echo", extensions=[wsdriver.PermessageDeflate()]) as ws:
        for message in ("hello", b"\x00\xff", "x" * 70_000):
            ws.send(message)
            assert ws.receive(10) == message
        assert "permessage-deflate" in ws.headers["Sec-WebSocket-Extensions"]
    assert ws.close_code == 1000
    app.server.assert_quiet()


def test_chat(app: Application) -> None:
    with wsdriver.connect(app.url + "/chat") as one, wsdriver.connect(app.url + "/chat") as two:
        for ws in (one, two):
            ws.send("hello")
            assert ws.receive(10) == "hello"
        assert one.receive(10) == "hello"


def test_request_is_told_and_the_end_has_a_code(app: Application) -> None:
    app.server.mark()
    origin = {"Origin": f"http://127.0.0.1:{app.server.port}"}
    with wsdriver.connect(app.url + "/told", ["b", "a"], headers=origin) as ws:
        assert ws.receive(10) == f"/told {origin['Origin']} b 13"
        assert ws.receive(10) == "5"
        assert ws.receive(10) is None
    assert (ws.close_code, ws.close_reason) == (4001, "enough")
    app.server.assert_quiet()


def test_wrong_origin_and_plain_requests_are_refused(app: Application) -> None:
    with pytest.raises(wsdriver.HandshakeError) as caught:
        wsdriver.connect(app.url + "/told", headers={"Origin": "http://evil.example"})
    assert caught.value.status == 403
    assert app.get("/echo").status == 400


def test_message_over_the_limit_is_1009(app: Application) -> None:
    with wsdriver.connect(app.url + "/echo") as ws:
        with suppress(wsdriver.ConnectionClosed):  # it is refused by its header, while the rest is on the way
            ws.send(bytes((8 << 20) + 1))
        assert ws.receive(10) is None
    assert ws.close_code == 1009
