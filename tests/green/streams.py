"""Event streams to serve in a process of its own: ``gunicorn -k wsdriver.worker tests.green.streams:app``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import gevent

import wsdriver


def idle(es: wsdriver.EventSource) -> None:
    """Say hello, and sleep: whoever stops the server has to end this stream."""
    es.send("hello")
    es.on("close", lambda event: None)


def tick(es: wsdriver.EventSource) -> None:
    """Send without end."""
    for number in itertools.count():
        es.send("hello", id=str(number))
        gevent.sleep(0.01)


def fail(es: wsdriver.EventSource) -> None:
    es.send("hello")
    raise RuntimeError("the application failed")


STREAMS: dict[str, Callable[[wsdriver.EventSource], None]] = {"/idle": idle, "/tick": tick, "/fail": fail}


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A stream, or a page that says hello."""
    if not wsdriver.is_eventsource(environ) or environ["PATH_INFO"] not in STREAMS:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
        return [b"hello\n"]
    es = wsdriver.EventSource(environ)
    STREAMS[environ["PATH_INFO"]](es)
    return es.wsgi_response()
