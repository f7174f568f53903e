"""A chat room: `gunicorn -k wsdriver.worker examples.chat:app`, then open http://127.0.0.1:8000/

Without gunicorn: `python examples/chat.py --port 8000`. One process needs nothing else. Any number of workers and
machines are one room with

    CHANNEL_URL=redis://127.0.0.1/ gunicorn -k wsdriver.worker --workers 4 examples.chat:app

One WebSocket message is one JSON object. A page sends

    {"type": "join", "name": "Ada", "key": "k"}      key: a secret of the page, which lets it take its own name back
    {"type": "say", "text": "Hello", "ref": "r"}     ref: comes back with the message, so that the page knows it arrived

and receives

    {"type": "welcome", "name", "members": ["Ada", ...], "history": [message, ...]}
    {"type": "message", "name", "text", "time", "ref"}      the same ref again is the same message, sent twice
    {"type": "joined" or "left", "name", "time"}
    {"type": "error", "code", "text", "ref"}
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.lock import RLock
from gevent.pywsgi import WSGIServer

import wsdriver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HISTORY = 50  # messages kept for those who join later
BACKLOG = 1000  # messages that wait for Redis while it is away
ANSWERS = 0.3  # seconds that a new server waits for what the others say before it lets anybody in
REPORT = 5  # seconds between two reports of who is here
SILENCE = 15  # seconds after which a server that has not reported is gone
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

messages = wsdriver.Channel("chat", history=HISTORY, backlog=BACKLOG)
presence = wsdriver.Channel("chat.presence")


class Refused(Exception):
    """A request that cannot be met; the page is told why and the connection goes on."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Member:
    """Somebody in the room, on whichever server."""

    name: str
    key: str
    since: float

    def is_called(self, name: str) -> bool:
        return self.name.casefold() == name.casefold()

    def gives_way_to(self, other: Member) -> bool:
        """Of two with one name: the page that came back replaces itself, and the first comer stays before others."""
        if self.key and self.key == other.key:
            return self.since < other.since
        return (other.since, other.key) < (self.since, self.key)


class Room:
    """Who is here, and what was said last.

    Each server tells the others who is with it: at every change, when a new one asks, and from time to time, since one
    that falls silent is gone, and its members with it. So all of them know the same names, a moment later. Should two
    people take one name within that moment, on two servers, all servers agree on who gives way.
    """

    def __init__(self) -> None:
        self._server = secrets.token_hex(8)
        self._here: dict[wsdriver.WebSocket, Member] = {}
        self._elsewhere: dict[str, tuple[float, list[Member]]] = {}  # by server, with the time of its last word
        self._history: deque[dict[str, object]] = deque(maxlen=HISTORY)
        self._started = False
        self._lock = RLock()
        self._ready = Event()

    def start(self) -> None:
        """Begin to listen to the other servers: at the first request, which is in the worker that will serve it."""
        if not self._started:
            self._started = True
            gevent.spawn(self._run)

    def join(self, ws: wsdriver.WebSocket, name: str, key: str) -> None:
        if ws in self._here:
            raise Refused("already-joined", f"You are here already, as {self._here[ws].name}.")
        self._ready.wait()
        with self._changing():
            holder = next((member for member in self._everyone() if member.is_called(name)), None)
            if holder is not None and (not key or key != holder.key):
                raise Refused("name-in-use", f"Somebody named {holder.name} is already here. Please take another name.")
            # A page that has lost its connection may be back before that was noticed, and find another server's clock.
            member = Member(name, key, time.time() if holder is None else max(time.time(), holder.since + 0.001))
            self._make_way_for(member)
            self._here[ws] = member
        welcome = {"name": name, "members": sorted(self._names()), "history": list(self._history)}
        ws.send(json.dumps({"type": "welcome", **welcome}))
        self._report()

    def leave(self, ws: wsdriver.WebSocket) -> None:
        if ws in self._here:
            with self._changing():
                self._here.pop(ws, None)  # unless somebody else has had to take it out meanwhile
            self._report()

    def say(self, ws: wsdriver.WebSocket, text: str, ref: str | None) -> None:
        if ws not in self._here:
            raise Refused("not-joined", "Join the room before you speak.")
        content = {"name": self._here[ws].name, "text": text, "time": time.time(), "ref": ref or secrets.token_hex(8)}
        try:
            messages.publish(json.dumps({"type": "message", **content}))  # ASCII only: even half a surrogate pair
        except ConnectionError:
            raise Refused("cut-off", "Only those on this server can read this: the others are out of reach.") from None

    def _on_message(self, text: str) -> None:
        self._history.append(json.loads(text))
        wsdriver.broadcast(self._here, text)  # who does not keep up is cut; the page comes back for the history

    # Who is here

    def _everyone(self) -> Iterator[Member]:
        yield from self._here.values()
        for _, members in self._elsewhere.values():
            yield from members

    def _names(self) -> set[str]:
        return {member.name for member in self._everyone()}

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Tell those who were here before a change what it made of the names; one change at a time."""
        with self._lock:
            audience, before = list(self._here), self._names()
            yield
            after = self._names()
            for kind, names in (("left", before - after), ("joined", after - before)):
                for name in sorted(names):
                    wsdriver.broadcast(audience, json.dumps({"type": kind, "name": name, "time": time.time()}))

    def _make_way_for(self, newcomer: Member) -> None:
        for ws, member in list(self._here.items()):
            if member.is_called(newcomer.name) and member.gives_way_to(newcomer):
                del self._here[ws]
                if member.key == newcomer.key:
                    gevent.spawn(ws.close, REPLACED, "joined again")  # may wait for the peer
                else:
                    text = f"Somebody named {newcomer.name} was here a moment before. Please take another name."
                    wsdriver.broadcast([ws], json.dumps({"type": "error", "code": "name-in-use", "text": text}))

    def _report(self, asks: bool = False) -> None:
        members = [astuple(member) for member in self._here.values()]
        try:
            presence.publish(json.dumps({"server": self._server, "members": members, "asks": asks}))
        except ConnectionError:
            pass  # they will hear it once Redis is back

    def _on_report(self, text: str) -> None:
        report = json.loads(text)
        if report["server"] == self._server:
            return
        members = [Member(*fields) for fields in report["members"]]
        count = len(self._here)
        with self._changing():
            self._elsewhere[report["server"]] = (time.monotonic(), members)
            for member in members:
                self._make_way_for(member)
        if report["asks"] or len(self._here) < count:
            self._report()

    def _run(self) -> None:
        with messages.subscribe(self._on_message, since="0"), presence.subscribe(self._on_report):
            self._report(asks=True)
            gevent.sleep(ANSWERS)
            self._ready.set()
            while True:
                gevent.sleep(REPORT)
                self._report()
                with self._changing():
                    for server, (heard, _) in list(self._elsewhere.items()):
                        if time.monotonic() - heard > SILENCE:
                            del self._elsewhere[server]


room = Room()


def handle(ws: wsdriver.WebSocket, request: dict[str, Any]) -> None:
    """Do what one message of a page asks for, or raise `Refused`."""
    match request:
        case {"type": "join", "name": str(name)}:
            name = " ".join(name.split())
            if not 0 < len(name) <= MAX_NAME or not name.isprintable():
                raise Refused("bad-name", f"A name has 1 to {MAX_NAME} visible characters.")
            key = request.get("key")
            room.join(ws, name, key if isinstance(key, str) else "")
        case {"type": "say", "text": str(text)}:
            if not text.strip():
                raise Refused("empty", "There is nothing in this message.")
            if len(text) > MAX_TEXT:
                raise Refused("too-long", f"A message has at most {MAX_TEXT} characters, this one has {len(text)}.")
            room.say(ws, text, reference(request))
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
    try:
        for data in ws:
            request: dict[str, Any] = {}
            try:
                request = parse(data)
                handle(ws, request)
            except Refused as refused:
                answer = {"type": "error", "code": refused.code, "text": str(refused), "ref": reference(request)}
                ws.send(json.dumps(answer))
    finally:
        room.leave(ws)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The page and its files over HTTP, the conversation over the WebSocket at /chat."""
    room.start()
    path = environ["PATH_INFO"]
    if path == "/chat" and wsdriver.is_websocket(environ):
        # Our own pages only: the browser tells whose page it is, and lets any site's connect.
        ws = wsdriver.WebSocket(environ, ping=20, max_length=MAX_LENGTH, origins="same")
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
