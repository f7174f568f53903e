"""bottle-websocket: unchanged under our worker, and with another import line, also with its own server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import wsdriver
from tests.moving.conftest import Application, Start
from tests.support.gunicorn import Server
from tests.support.net import wait_for_port
from tests.support.peers import need_module


@pytest.fixture(scope="module", params=["unchanged", "ours", "its server"])
def app(request: pytest.FixtureRequest, mounted: Callable[[str], Server], start: Start) -> Any:
    need_module("bottle_websocket")
    if request.param != "its server":
        return Application(mounted(request.param), "bottle")
    server = start("tests.moving.bottle_app", worker=None, COMPAT="wsdriver.compat.")
    wait_for_port(server.port)
    return Application(server, "")


def test_echo(app: Application) -> None:
    app.server.mark()
    with wsdriver.connect(app.url + "/websocket") as ws:
        for message in ("hello", b"\x00\xff", "x" * 70_000):
            ws.send(message)
            assert ws.receive(10) == message
    assert (ws.close_code, ws.was_clean) == (1000, True)
    assert app.get("/").body == b"a page"
    app.server.assert_quiet()
