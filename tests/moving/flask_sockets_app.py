"""Flask-Sockets' README, and Heroku's chat, with our import line: with the Flask of today, the original fails."""

from __future__ import annotations

from typing import Any

import gevent
from flask import Blueprint, Flask, current_app, request

from wsdriver.compat.flask_sockets import Sockets

app = Flask(__name__)
sockets = Sockets(app)
ws = Blueprint("ws", __name__)
listeners: list[Any] = []


@sockets.route("/echo")
def echo_socket(ws: Any) -> None:
    while not ws.closed:
        message = ws.receive()
        ws.send(message)


@ws.route("/path/<int:number>")
def numbered(socket: Any, number: int) -> None:
    assert request.path == f"/blue/path/{number}"
    socket.send(f"{current_app.name} {number + 1}")


@sockets.route("/submit")
def inbox(ws: Any) -> None:
    while not ws.closed:
        gevent.sleep(0)
        message = ws.receive()
        if message:
            for client in listeners:
                gevent.spawn(client.send, message)


@sockets.route("/receive")
def outbox(ws: Any) -> None:
    listeners.append(ws)
    while not ws.closed:
        gevent.sleep(0.01)
    listeners.remove(ws)


@app.route("/")
def hello() -> str:
    return f"Hello World! {len(listeners)}"


@app.route("/echo")
def echo_page() -> str:
    return "a page of the same path"


sockets.register_blueprint(ws, url_prefix="/blue")
