"""Types as a user's program meets them: what is right passes ``mypy --strict``, what is wrong does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.peers import need_module

ROOT = Path(__file__).parent.parent

RIGHT = """
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import wsdriver
from wsdriver.testing import Client

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

lobby = wsdriver.Channel("lobby")


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if wsdriver.is_websocket(environ):
        ws = wsdriver.WebSocket(environ, ["chat"], ping=5, extensions=[wsdriver.PermessageDeflate()])
        lobby.join(ws)
        for message in ws:
            ws.send(message if isinstance(message, bytes) else message.upper())
            lobby.publish(message)
        code: int | None = ws.close_code
        print(code, ws.close_reason, ws.latency)
        return ws.wsgi_response()
    if wsdriver.is_eventsource(environ):
        es = wsdriver.EventSource(environ, retry=2)
        es.on("close", print)
        es.send("news", event="news", id="1")
        return es.wsgi_response()
    start_response("200 OK", [])
    return [b""]


watched: WSGIApplication = wsdriver.monitor(app, token="0123456789abcdef")


def talk(ws: wsdriver.WebSocket, room: str = "") -> None:
    @ws.on("message")
    def heard(event: Any) -> None:
        ws.send(event.data)

    @ws.on("close")
    def closed(event: Any) -> None:
        print(room, event.code)

    ws.run()


def serve() -> None:
    server = wsdriver.WebSocketServer(("127.0.0.1", 0), {"/{room}": talk}, max_connections=10)
    server.start()
    wsdriver.broadcast(server.connections, "hello", slow="skip")
    server.stop()
    wsdriver.serve(talk, "127.0.0.1", 8080)


def ask(url: str) -> str | bytes | None:
    try:
        with wsdriver.connect(url, ["chat"], tls={"verify_peer": True}, open_timeout=3) as ws:
            ws.send(b"", binary=True)
            return ws.receive(timeout=1)
    except (wsdriver.ConnectionClosed, wsdriver.HandshakeError, OSError):
        return None


def follow(url: str) -> None:
    for ws in wsdriver.reconnect(url, max_attempts=3):
        print(ws.url, ws.receive())


def test_app() -> None:
    with Client(app).websocket("/chat") as ws:
        ws.send("hello")
        answer: str | bytes | None = ws.receive()
        assert answer == "HELLO"
"""

#: Lines that are wrong, and a part of what has to be said of each.
WRONG = {
    "ws.send(3)": "Argument 1",
    'ws.close("done")': "Argument 1",
    "ws.receive().upper()": "has no attribute",
    'ws.receive(timeout="1")': "timeout",
    "wsdriver.connect(1)": "Argument 1",
    "wsdriver.WebSocket()": "environ",
    "wsdriver.Websocket": "has no attribute",
    "number: str = ws.close_code": "Incompatible types",
}


def check(path: Path) -> str:
    """Return what mypy says of a program, as it does where wsdriver is an installed package."""
    need_module("mypy")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--no-error-summary",
        "--config-file=",
    ]
    done = subprocess.run(
        [*command, f"--cache-dir={path.parent / 'cache'}", str(path)],
        env={**os.environ, "MYPYPATH": str(ROOT)},
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def test_right_program_passes_strictly(tmp_path: Path) -> None:
    path = tmp_path / "right.py"
    path.write_text(RIGHT)
    assert check(path) == ""


def test_wrong_lines_are_each_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(
        "import wsdriver\n\n\ndef f(ws: wsdriver.WebSocket) -> None:\n" + "".join(f"    {line}\n" for line in WRONG)
    )
    said = {int(number): words for number, words in re.findall(r"^wrong\.py:(\d+): error: (.*)$", check(path), re.M)}
    assert sorted(said) == list(range(5, 5 + len(WRONG)))
    for words, part in zip((said[number] for number in sorted(said)), WRONG.values(), strict=True):
        assert part in words
