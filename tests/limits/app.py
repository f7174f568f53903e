"""What the servers serve whose connections are counted: a handler that ends as its path says.

gunicorn -k tests.limits.app.Worker tests.limits.app:app
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gevent

import wsdriver

#: How many WebSockets, and how many of one address.
MOST = 2
MOST_PER_IP = 1

#: So that an end that only time brings comes soon.
OPTIONS: dict[str, Any] = {"ping": 0.3, "ping_timeout": 0.3, "open_timeout": 0.5, "close_timeout": 0.3}
MAX_LENGTH = 1000


class Handler(wsdriver.WebSocketHandler):
    max_connections = MOST
    max_connections_per_ip = MOST_PER_IP


def behave(ws: wsdriver.WebSocket) -> None:
    """Serve one WebSocket."""
    path = ws.handshake.path
    if path == "/raise-first":
        raise ZeroDivisionError("before the handshake")
    if path == "/reject":
        ws.reject()
        return
    if not ws.accept():
        return
    if path == "/return":
        return
    if path == "/raise":
        raise ZeroDivisionError("in the handler")
    if path == "/terminate":
        ws.terminate()
    elif path == "/kill":
        gevent.spawn(gevent.getcurrent().kill)
        ws.receive()
    elif path == "/timeout":
        with gevent.Timeout(0.05):
            ws.receive()
    elif path == "/close":
        ws.close(1000)
    else:
        for message in ws:
            ws.send(message)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if not wsdriver.is_websocket(environ):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"OK"]
    if environ["PATH_INFO"] == "/plain":
        start_response("401 Unauthorized", [("Content-Length", "2")])
        return [b"no"]
    ws = wsdriver.WebSocket(environ, max_length=MAX_LENGTH, **OPTIONS)
    behave(ws)
    return ws.wsgi_response()


def __getattr__(name: str) -> Any:
    if name != "Worker":  # made when gunicorn asks: it may be missing
        raise AttributeError(name)

    class Worker(wsdriver.worker):  # type: ignore[misc, name-defined]
        max_connections = MOST
        max_connections_per_ip = MOST_PER_IP
        open_timeout = 0.5

    globals()[name] = Worker
    return Worker
