"""Applications as they were written for gevent-websocket, by its README and its examples; for both, the import differs.

GEVENTWEBSOCKET names the package that is imported: the real one, or ours in its place.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable
from typing import Any

import gevent
from gevent.queue import Queue

package = os.environ.get("GEVENTWEBSOCKET", "geventwebsocket")
geventwebsocket: Any = importlib.import_module(package)
Resource = geventwebsocket.Resource
WebSocketApplication = geventwebsocket.WebSocketApplication
WebSocketError = geventwebsocket.WebSocketError
BaseProtocol: Any = importlib.import_module(f"{package}.protocols.base").BaseProtocol

#: What happened, in words: ``/log`` shows it.
HAPPENED: list[str] = []

SUBSCRIBERS: list[Queue] = []


class Echo(WebSocketApplication):
    """Of the README."""

    def on_open(self) -> None:
        HAPPENED.append("open")

    def on_message(self, message: Any) -> None:
        self.ws.send(message)

    def on_close(self, reason: Any) -> None:
        HAPPENED.append("close")


class Chat(WebSocketApplication):
    """Of its chat example: everybody is found by ``ws.handler.server.clients``."""

    def on_message(self, message: Any) -> None:
        if message is None:
            HAPPENED.append("no message")
            return
        message = json.loads(message)
        if message["msg_type"] == "message":
            for client in self.ws.handler.server.clients.values():
                client.ws.send(json.dumps(message))
        elif message["msg_type"] == "update_clients":
            self.ws.handler.active_client.nickname = message["nickname"]
            names = [getattr(client, "nickname", "?") for client in self.ws.handler.server.clients.values()]
            self.ws.send(json.dumps({"msg_type": "update_clients", "clients": sorted(names)}))

    def on_close(self, reason: Any) -> None:
        HAPPENED.append(f"close {self.ws.handler.active_client.nickname}")


class ChatProtocol(BaseProtocol):
    PROTOCOL_NAME = "chat"


class Speaker(WebSocketApplication):
    """With a subprotocol of its own."""

    protocol_class = ChatProtocol

    def on_open(self) -> None:
        self.ws.send("open")


def loop(ws: Any) -> None:
    """The loop that most applications have."""
    try:
        while not ws.closed:
            message = ws.receive()
            ws.send(message)
    except WebSocketError as error:
        HAPPENED.append(f"error {isinstance(error, OSError)}")


def uncaught(ws: Any) -> None:
    """The loop of Flask-Sockets' README, which catches nothing."""
    while not ws.closed:
        message = ws.receive()
        ws.send(message)


def twice(ws: Any) -> None:
    """Receive past the end."""
    found = []
    for _ in range(3):
        try:
            found.append(repr(ws.receive()))
        except WebSocketError:
            found.append("error")
    HAPPENED.append(" ".join([*found, str(ws.closed)]))


def kinds(ws: Any) -> None:
    """Say what kind each message is."""
    while True:
        message = ws.receive()
        if message is None:
            break
        ws.send(type(message).__name__)
        ws.send(message, binary=isinstance(message, bytearray))


def told(ws: Any) -> None:
    """What is known of the request."""
    ws.send(json.dumps([ws.path, ws.origin, ws.version, ws.protocol, ws.environ["QUERY_STRING"]]))
    ws.send_frame("are you there", ws.OPCODE_PING)
    ws.send_frame("frame", ws.OPCODE_TEXT)


def closes(ws: Any) -> None:
    """Close with what the first message says, twice."""
    code, reason = json.loads(ws.receive())
    ws.close(code, reason)
    ws.close()
    for use in (ws.receive, lambda: ws.send("more")):
        try:
            use()
        except WebSocketError:
            HAPPENED.append("error")
    HAPPENED.append(f"closed {ws.closed}")


def outbox(ws: Any) -> None:
    """Of Heroku's chat: others send; this only waits until it is over."""
    while not ws.closed:
        gevent.sleep(0.01)
    HAPPENED.append("outbox over")


def pushes(ws: Any) -> None:
    """Neither receives nor sends before there is something to push."""
    queue: Queue = Queue()
    SUBSCRIBERS.append(queue)
    try:
        ws.send(queue.get())
    finally:
        SUBSCRIBERS.remove(queue)


def silent(ws: Any) -> None:
    """Do nothing."""


HANDLERS = {
    f"/{handler.__name__}": handler for handler in (loop, uncaught, twice, kinds, told, closes, outbox, pushes, silent)
}


def websocket_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Plain WSGI, of the README's second half."""
    path = environ["PATH_INFO"]
    if path == "/log":
        body = json.dumps(HAPPENED).encode()
    elif path == "/push":
        for queue in SUBSCRIBERS:
            queue.put("pushed")
        body = str(len(SUBSCRIBERS)).encode()
    elif environ.get("wsgi.websocket") is not None:
        HANDLERS[path](environ["wsgi.websocket"])
        return []
    else:
        body = json.dumps([key for key in environ if "websocket" in key.lower()]).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def generator(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """An application that is a generator."""
    ws = environ["wsgi.websocket"]
    ws.send(ws.receive())
    yield b""


class Application(Resource):
    """A table of classes for WebSockets; all else is plain."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/generator":
            return generator(environ, start_response)
        if path.startswith(("/echo", "/chat", "/speaker", "/nowhere")):
            result: Iterable[bytes] = super().__call__(environ, start_response)
            return result
        return websocket_app(environ, start_response)


app = Application([("/echo", Echo), ("/chat", Chat), ("/speaker", Speaker)])


if __name__ == "__main__":
    import sys

    server = geventwebsocket.WebSocketServer(("127.0.0.1", int(sys.argv[1])), app)
    server.start()
    print("it listens", flush=True)
    server.serve_forever()
