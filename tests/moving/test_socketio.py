"""Flask-SocketIO in its gevent mode, unchanged, under our worker; its JavaScript client, from npm, in Chromium."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import chromium
from tests.moving.conftest import Start
from tests.support.gunicorn import Server
from tests.support.peers import need_module, need_node
from tests.support.wire import until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

#: Opens as many clients as there are lists of transports; keeps what comes.
OPEN = """
const [every, done] = arguments;
window.got = [];
window.clients = every.map((transports) => io({transports, forceNew: true, reconnection: false}));
clients.forEach((client, number) => {
  client.onAny((event, data) => got.push([number, event, data instanceof ArrayBuffer ? data.byteLength : data]));
  client.on('disconnect', (reason) => got.push([number, 'disconnect', reason]));
  client.on('connect_error', (error) => got.push([number, 'connect_error', String(error)]));
});
Promise.all(clients.map((client) => new Promise((resolve) => client.on('connect', resolve)))).then(() => done(true));
"""


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module", params=["geventwebsocket", "simple_websocket"])
def taken(request: pytest.FixtureRequest) -> str:
    """What Engine.IO takes: gevent-websocket where that is installed, and simple-websocket where it is not."""
    need_module(request.param)
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def running(taken: str, start: Start) -> Server:
    need_module("flask_socketio")
    environment = need_node("socket.io-client")
    where = "console.log(require.resolve('socket.io-client/dist/socket.io.js'))"
    found = subprocess.run(["node", "-e", where], env=environment, capture_output=True, text=True, check=True)
    hide = "" if taken == "geventwebsocket" else "geventwebsocket"
    return start("tests.moving.socketio_app:app", SOCKET_IO_JS=found.stdout.strip(), HIDE=hide)


@pytest.fixture
def page(chrome: Chrome, running: Server) -> Iterator[Chrome]:
    running.mark()
    chrome.get(f"http://127.0.0.1:{running.port}/")
    yield chrome
    chrome.get("about:blank")


def script(page: Chrome, source: str) -> Any:
    return page.execute_script(f"return {source}")


def do(page: Chrome, source: str) -> None:
    page.execute_script(source)


def names(page: Chrome) -> list[str]:
    found: list[str] = script(page, "clients.map((client) => client.io.engine.transport.name)")
    return found


def got(page: Chrome) -> list[Any]:
    found: list[Any] = script(page, "got")
    return found


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]], ids="-".join)
def test_client_talks_over_a_websocket(page: Chrome, running: Server, transports: list[str]) -> None:
    assert page.execute_async_script(OPEN, [transports])
    until(lambda: names(page) == ["websocket"], "the upgrade from polling")
    do(page, "clients[0].emit('echo', {text: 'Grüße 🎉'}, (answer) => got.push([0, 'answer', answer]))")
    do(page, "clients[0].emit('echo', new Uint8Array(100000))")
    until(lambda: len(got(page)) >= 3, "the echoes")
    assert sorted(got(page), key=str) == [
        [0, "answer", "got it"],
        [0, "echoed", 100000],
        [0, "echoed", {"text": "Grüße 🎉"}],
    ]
    sid = script(page, "clients[0].id")
    do(page, "clients[0].disconnect()")

    def gone() -> list[str]:
        with running.dial() as wire:
            found: list[str] = json.loads(wire.get("/gone").body)
            return found

    until(lambda: sid in gone(), "the server's disconnect handler")
    running.assert_quiet()


def test_room_is_for_its_members(page: Chrome, running: Server) -> None:
    assert page.execute_async_script(OPEN, [["websocket"]] * 3)
    do(page, "clients.slice(0, 2).forEach((client) => client.emit('enter', 'lobby'))")
    do(page, "clients[2].emit('echo', 1, () => clients[0].emit('echo', 1, () => clients[1].emit('echo', 1)))")
    until(lambda: len(got(page)) >= 3, "the echoes behind which all are in")
    do(page, "clients[2].emit('shout', 'lobby', 'hello')")
    until(lambda: len(got(page)) >= 5, "what is shouted")
    assert sorted(found for found in got(page) if found[1] == "shouted") == [
        [0, "shouted", "hello"],
        [1, "shouted", "hello"],
    ]
    running.assert_quiet()


def test_server_stops_while_clients_are_there(chrome: Chrome, running: Server, taken: str) -> None:
    if taken == "simple_websocket":
        return  # which knows nothing of the worker's end, and is cut after gunicorn's graceful_timeout
    chrome.get(f"http://127.0.0.1:{running.port}/")
    assert chrome.execute_async_script(OPEN, [["websocket"]])
    running.signal(signal.SIGTERM)
    until(lambda: got(chrome) == [[0, "disconnect", "transport close"]], "the end")
    chrome.get("about:blank")  # an idle connection for pages is waited for
    assert running.wait(40) == 0
