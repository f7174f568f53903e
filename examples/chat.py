"""A chat room: `gunicorn -k wsdriver.worker examples.chat:app`, then open http://127.0.0.1:8000/

Without gunicorn: `python examples/chat.py --port 8000`. Run one worker: the room lives in this process.

One WebSocket message is one JSON object. A page sends

    {"type": "join", "name": "Ada", "key": "k"}      key: a secret of the page, which lets it take its own name back
    {"type": "say", "text": "Hello", "ref": "r"}     ref: comes back with the message, so that the page knows it arrived

and receives

    {"type": "welcome", "name", "boot", "members": ["Ada", ...], "history": [message, ...]}
    {"type": "message", "id", "name", "text", "time", "ref"}      id counts up, and starts anew with every boot
    {"type": "joined" or "left", "name", "time"}
    {"type": "error", "code", "text", "ref"}
"""

from __future__ import annotations

import argparse
import itertools
import json
import secrets
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.pywsgi import WSGIServer
from gevent.queue import Full, Queue

import wsdriver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HISTORY = 50  # messages kept for those who join later
BACKLOG = 100  # messages a slow member may lag behind
MAX_NAME = 24  # characters
MAX_TEXT = 1000  # characters
MAX_LENGTH = 16 * 1024  # bytes in one WebSocket message: more than MAX_TEXT ever needs
REPLACED = 4001  # close code: the same page came back on a new connection

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/chat.css": ("chat.css", "text/css; charset=utf-8"),
    "/chat.js": ("chat.js", "text/javascript; charset=utf-8"),
}
FOLDER = Path(__file__).with_suffix("")
HEADERS = [
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'self'; connect-src 'self' ws: wss:; img-src data:"),
]


class Refused(Exception):
    """A request that cannot be met; the page is told why and the connection goes on."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Member:
    """One WebSocket with a queue and a sender in front of it, so that a slow reader delays nobody else."""

    def __init__(self, ws: wsdriver.WebSocket) -> None:
        self.ws = ws
        self.name = self.key = ""
        self._outbox: Queue[str] = Queue(maxsize=BACKLOG)
        self._sender = gevent.spawn(self._send_all)

    def post(self, text: str) -> None:
        """Hand over a message without ever waiting."""
        try:
            self._outbox.put_nowait(text)
        except Full:
            self.ws.terminate()  # too far behind: the page reconnects by itself and catches up from the history

    def stop(self) -> None:
        self._sender.kill()

    def _send_all(self) -> None:
        try:
            for text in self._outbox:
                self.ws.send(text)
        except wsdriver.ConnectionClosed:
            pass  # the handler's loop ends as well, and takes the member out of the room


class Room:
    """Who is here, and what was said last."""

    def __init__(self) -> None:
        self._boot = secrets.token_hex(4)
        self._ids = itertools.count(1)
        self._members: dict[str, Member] = {}  # by case-folded name
        self._history: deque[dict[str, object]] = deque(maxlen=HISTORY)

    def __contains__(self, member: Member) -> bool:
        return self._members.get(member.name.casefold()) is member

    def join(self, member: Member, name: str, key: str) -> None:
        if member.name:
            raise Refused("already-joined", f"You are here already, as {member.name}.")
        previous = self._members.get(name.casefold())
        if previous is None:
            self._publish({"type": "joined", "name": name, "time": time.time()})
        elif key and key == previous.key:
            # The page lost its connection and is back before the old one was noticed. close() may wait for the peer.
            gevent.spawn(previous.ws.close, REPLACED, "joined again")
        else:
            raise Refused("name-in-use", f"Somebody named {previous.name} is already here. Please take another name.")
        member.name, member.key = name, key
        self._members[name.casefold()] = member
        names = [other.name for other in self._members.values()]
        welcome = {"name": name, "boot": self._boot, "members": names, "history": list(self._history)}
        member.post(json.dumps({"type": "welcome", **welcome}))

    def leave(self, member: Member) -> None:
        if member in self:
            del self._members[member.name.casefold()]
            self._publish({"type": "left", "name": member.name, "time": time.time()})

    def say(self, member: Member, text: str, ref: str | None) -> None:
        if member not in self:
            raise Refused("not-joined", "Join the room before you speak.")
        content = {"name": member.name, "text": text, "time": time.time(), "ref": ref}
        message = {"type": "message", "id": next(self._ids), **content}
        self._history.append(message)
        self._publish(message)

    def _publish(self, message: dict[str, object]) -> None:
        text = json.dumps(message)  # ASCII only: even half a surrogate pair goes through
        for member in self._members.values():
            member.post(text)


room = Room()


def handle(member: Member, request: dict[str, Any]) -> None:
    """Do what one message of a page asks for, or raise `Refused`."""
    match request:
        case {"type": "join", "name": str(name)}:
            name = " ".join(name.split())
            if not 0 < len(name) <= MAX_NAME or not name.isprintable():
                raise Refused("bad-name", f"A name has 1 to {MAX_NAME} visible characters.")
            key = request.get("key")
            room.join(member, name, key if isinstance(key, str) else "")
        case {"type": "say", "text": str(text)}:
            if not text.strip():
                raise Refused("empty", "There is nothing in this message.")
            if len(text) > MAX_TEXT:
                raise Refused("too-long", f"A message has at most {MAX_TEXT} characters, this one has {len(text)}.")
            room.say(member, text, reference(request))
        case _:
            raise Refused("malformed", 'Expected {"type": "join", "name": "…"} or {"type": "say", "text": "…"}.')


def parse(data: str | bytes) -> dict[str, Any]:
    """Read one JSON object."""
    try:
        request = json.loads(data)
    except (ValueError, RecursionError):
        raise Refused("malformed", "This message is not JSON.") from None
    if not isinstance(request, dict):
        raise Refused("malformed", "Expected a JSON object.")
    return request


def reference(request: dict[str, Any]) -> str | None:
    ref = request.get("ref")
    return ref if isinstance(ref, str) and len(ref) <= 64 else None


def converse(ws: wsdriver.WebSocket) -> None:
    """Serve one page until it is gone."""
    member = Member(ws)
    try:
        for data in ws:
            request: dict[str, Any] = {}
            try:
                request = parse(data)
                handle(member, request)
            except Refused as refused:
                answer = {"type": "error", "code": refused.code, "text": str(refused), "ref": reference(request)}
                member.post(json.dumps(answer))
    finally:
        room.leave(member)
        member.stop()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The page and its files over HTTP, the conversation over the WebSocket at /chat."""
    path = environ["PATH_INFO"]
    if path == "/chat" and wsdriver.is_websocket(environ):
        ws = wsdriver.WebSocket(environ, ping=20, max_length=MAX_LENGTH)
        converse(ws)
        return ws.wsgi_response()
    if path in FILES:
        name, content_type = FILES[path]
        status, body = "200 OK", (FOLDER / name).read_bytes()
    else:
        content_type = "text/plain; charset=utf-8"
        status, body = "404 Not Found", b"Not found\n"
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body))), *HEADERS])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


def main() -> None:
    parser = argparse.ArgumentParser(description="A chat room on gevent's own WSGI server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    server = WSGIServer((args.host, args.port), app, handler_class=wsdriver.WebSocketHandler)
    print(f"http://{args.host}:{args.port}/", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
