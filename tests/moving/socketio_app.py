"""A Flask-SocketIO application in its gevent mode, and a page for its JavaScript client. SOCKET_IO_JS is that client.

HIDE names a module that is not to be found: where gevent-websocket is not installed, it takes simple-websocket.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

if os.environ.get("HIDE"):
    sys.modules[os.environ["HIDE"]] = None

from flask import Flask, request
from flask_socketio import SocketIO, emit, join_room

app = Flask(__name__)
socketio = SocketIO(app, async_mode="gevent", ping_interval=1, ping_timeout=5)
gone: list[str] = []


@app.get("/")
def page() -> str:
    return "<!doctype html><title>socket.io</title><script src='/socket.io.js'></script>"


@app.get("/socket.io.js")
def script() -> Any:
    return Path(os.environ["SOCKET_IO_JS"]).read_text(), {"Content-Type": "text/javascript"}


@app.get("/gone")
def who_has_gone() -> list[str]:
    return gone


@socketio.on("echo")
def echo(data: Any) -> Any:
    emit("echoed", data)
    return "got it"


@socketio.on("enter")
def enter(room: str) -> None:
    join_room(room)


@socketio.on("shout")
def shout(room: str, text: str) -> None:
    emit("shouted", text, to=room)


@socketio.on("disconnect")
def disconnect(reason: str = "") -> None:
    gone.append(request.sid)
