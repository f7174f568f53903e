"""bottle-websocket: unchanged under our worker, and with another import line, also with its own server."""

from __future__ import annotations

import pytest

import wsdriver
from tests.moving.conftest import Start
from tests.support.gunicorn import Server
from tests.support.net import wait_for_port
from tests.support.peers import need_module

OURS = "wsdriver.compat.bottle_websocket"

CASES = {
    "unchanged": ("bottle_websocket", "wsdriver.worker"),
    "ours": (OURS, "wsdriver.worker"),
    "ours-server": (OURS, None),
}


@pytest.fixture(scope="module", params=CASES)
def server(request: pytest.FixtureRequest, start: Start) -> Server:
    package, worker = CASES[request.param]
    need_module("bottle_websocket")
    server = start("tests.moving.bottle_app:app", worker=worker, BOTTLE_WEBSOCKET=package)
    wait_for_port(server.port)
    return server


def test_echo(server: Server) -> None:
    server.mark()
    with wsdriver.connect(server.url + "/websocket") as ws:
        for message in ("hello", b"\x00\xff", "x" * 70_000):
            ws.send(message)
            assert ws.receive(10) == message
    assert (ws.close_code, ws.was_clean) == (1000, True)
    with server.dial() as wire:
        assert wire.get("/").body == b"a page"
    server.assert_quiet()
