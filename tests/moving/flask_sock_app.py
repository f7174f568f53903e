"""A Flask-Sock application; COMPAT is put before the names of the packages that it imports."""

from __future__ import annotations

import importlib
import os
from typing import Any

from flask import Blueprint, Flask, request

compat = os.environ.get("COMPAT", "")
Sock: Any = importlib.import_module(compat + "flask_sock").Sock
simple_websocket: Any = importlib.import_module(compat + "simple_websocket")
ConnectionClosed = simple_websocket.ConnectionClosed
Server = simple_websocket.Server

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": 25, "subprotocols": ["chat"]}
sock = Sock(app)
rooms = Blueprint("rooms", __name__, url_prefix="/rooms")
ended: list[Any] = []


@app.get("/")
def page() -> str:
    return "a page"


@app.get("/ended")
def how_they_ended() -> list[Any]:
    return ended


@sock.route("/echo")
def echo(ws: Any) -> None:
    while True:
        ws.send(ws.receive())


@sock.route("/end")
def end(ws: Any) -> None:
    try:
        ws.receive()
    except ConnectionClosed as closed:
        ended.append([int(closed.reason), closed.message, ws.connected])


@sock.route("/patient")
def patient(ws: Any) -> None:
    assert ws.receive(timeout=0) is None
    assert ws.receive(timeout=0.05) is None
    ws.send(5)
    ws.send(f"{ws.subprotocol} {request.args['name']}")
    ws.close(4000, "enough")


@sock.route("/name/<name>", bp=rooms)
def named(ws: Any, name: str) -> None:
    ws.send(name)


app.register_blueprint(rooms)


@app.route("/direct", websocket=True)
def direct() -> Any:
    """simple-websocket without Flask-Sock, as its examples have it."""
    ws = Server.accept(request.environ)
    try:
        while True:
            ws.send(ws.receive())
    except ConnectionClosed:
        pass
    return ""
