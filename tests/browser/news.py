"""What the browser's EventSource is tested against: ``gunicorn -k wsdriver.worker tests.browser.news:app``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import wsdriver

#: The streams that stay open; and the paths and last ids of all requests, in order.
OPEN: list[wsdriver.EventSource] = []
SEEN: list[tuple[str, str]] = []

#: The last event: who comes back with an id gets what follows.
LAST = 5


def stay(es: wsdriver.EventSource) -> None:
    """Keep the stream open until its client goes."""
    OPEN.append(es)
    es.on("close", lambda event: OPEN.remove(es))


def numbers(es: wsdriver.EventSource) -> None:
    """Events 1 to 5, or what is missing of them."""
    for number in range(int(es.last_event_id or 0) + 1, LAST + 1):
        es.send(f"number {number}", event="number", id=str(number))
    stay(es)


def one_by_one(es: wsdriver.EventSource) -> None:
    """One event, and the end: the browser comes back for the next."""
    number = int(es.last_event_id or 0) + 1
    es.send(f"number {number}", event="number", id=str(number))


def kinds(es: wsdriver.EventSource) -> None:
    """One event of each kind."""
    es.send("plain")
    es.ping()
    es.send("one\r\ntwo\rthree\n", event="lines", id="Grüße 🎉")
    es.send("")
    es.send("x" * 300_000, event="long")
    es.send(" forged? \n\nevent: forged\ndata: no\n\n", event="hostile", id="")
    es.send("the end", event="end")
    stay(es)


STREAMS: dict[str, Callable[[wsdriver.EventSource], None]] = {
    "/numbers": numbers,
    "/one-by-one": one_by_one,
    "/kinds": kinds,
}
REFUSALS = {"/204": "204 No Content", "/401": "401 Unauthorized"}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A stream, a refusal, an empty page, or at ``/state`` what has been asked for and what is open."""
    path = environ["PATH_INFO"]
    if wsdriver.is_eventsource(environ):
        SEEN.append((path, environ.get("HTTP_LAST_EVENT_ID", "")))
        if path in STREAMS:
            es = wsdriver.EventSource(environ, retry=0.05)
            STREAMS[path](es)
            return es.wsgi_response()
    body = b""
    if path == "/state":
        body = json.dumps({"open": [es.environ["QUERY_STRING"] for es in OPEN], "seen": SEEN}).encode()
    start_response(REFUSALS.get(path, "200 OK"), [("Content-Type", "text/html"), ("Content-Length", str(len(body)))])
    return [body]
