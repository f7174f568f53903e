"""The WSGI application that the tests serve, and ``gevent.pywsgi`` to serve it with.

    gunicorn -k wsdriver.worker tests.green.apps:app
    python -m tests.green.apps --port 8000

A request may name itself (``?id=...``). What the test has to tell it, and what it has to tell the test, then goes
through files in the directory that WSDRIVER_TEST_DIRECTORY names: the one that the test makes to let a handler go on,
and the report that a handler leaves at its end.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from wsgiref.validate import validator

import gevent
from gevent.event import Event

import wsdriver

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

DIRECTORY = Path(os.environ.get("WSDRIVER_TEST_DIRECTORY", "."))

#: What :func:`serve` prints when it does.
LISTENING = "pywsgi is listening"

#: A handler that nobody lets go on gives up after so many seconds.
LIMIT = 30.0

#: The WebSockets whose request named itself, for ``/state``.
NAMED: dict[str, wsdriver.WebSocket] = {}


def query_of(environ: Environ, name: str, default: str = "") -> str:
    """Return one parameter of the request's query."""
    query: str = environ["QUERY_STRING"]
    return parse_qs(query).get(name, [default])[0]


def hold(environ: Environ, sleep: Callable[[float], object] = gevent.sleep) -> None:
    """Sleep, and sleep again, until the test lets this request go on."""
    permit = DIRECTORY / f"release-{query_of(environ, 'id')}"
    deadline = time.monotonic() + LIMIT
    while not permit.exists():
        if time.monotonic() > deadline:
            raise TimeoutError("the test did not let this request go on")
        sleep(0.01)


def report(environ: Environ, ws: wsdriver.WebSocket, **more: object) -> None:
    """Leave the report of a handler that has ended."""
    leave(environ, {"close_code": ws.close_code, "close_reason": ws.close_reason, "was_clean": ws.was_clean, **more})


def leave(environ: Environ, found: dict[str, object]) -> None:
    """Leave a report where the test finds it, all of it at once."""
    name = query_of(environ, "id")
    if not name:
        return
    path = DIRECTORY / f"report-{name}"
    path.with_suffix(".new").write_text(json.dumps(found))
    path.with_suffix(".new").rename(path)


def websocket(environ: Environ, **options: Any) -> wsdriver.WebSocket:
    """Make the request's WebSocket."""
    ws = wsdriver.WebSocket(environ, **options)
    if query_of(environ, "id"):
        NAMED[query_of(environ, "id")] = ws
    return ws


def echo_back(ws: wsdriver.WebSocket) -> None:
    """Answer each message with itself."""
    for message in ws:
        ws.send(message)


# --- WebSockets -----------------------------------------------------------------------------------------------------


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    ws = websocket(environ)
    try:
        echo_back(ws)
    finally:
        report(environ, ws)
    return ws.wsgi_response()


def legacy(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo, as an application written for gevent-websocket does it."""
    ws = environ["wsgi.websocket"]
    while True:
        message = ws.receive()
        if message is None:
            break
        ws.send(message)
    report(environ, ws)
    return []


def returns_none(environ: Environ, start_response: StartResponse) -> None:
    echo_back(websocket(environ))


def returns_response_open(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Return while the connection is open."""
    ws = websocket(environ)
    ws.send("only this")
    return ws.wsgi_response()


def returns_list_open(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    websocket(environ).send("only this")
    return []


class Page:
    """A response of a framework, which wants to be closed."""

    def __init__(self, environ: Environ, ws: wsdriver.WebSocket) -> None:
        self._environ = environ
        self._ws = ws
        self._closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"this is a page, and no frame"])

    def close(self) -> None:
        self._closed += 1
        report(self._environ, self._ws, closed=self._closed)


def page(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo, then answer as a framework does whose view returns nothing in particular."""
    ws = websocket(environ)
    echo_back(ws)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "28")])
    return Page(environ, ws)


def generator(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Echo, in an application whose code runs when its result is iterated."""
    ws = websocket(environ)
    echo_back(ws)
    yield from ws.wsgi_response()


def listeners(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo by listeners."""
    ws = websocket(environ)
    ws.on("message", lambda event: ws.send(event.data))
    return ws.wsgi_response()


def deny(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Refuse, after all that is allowed before the first use."""
    ws = websocket(environ)
    ws.on("message", lambda event: ws.send(event.data))
    assert ws.handshake.path == environ["PATH_INFO"]
    start_response("401 Unauthorized", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"no\n"]


def fail(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise what the first message says."""
    raise RuntimeError(websocket(environ).receive())


def broken(ws: wsdriver.WebSocket) -> None:
    """Let a listener raise what the first message says."""

    def fail_now(event: Any) -> None:
        raise RuntimeError(event.data)

    ws.on("message", fail_now)


def fail_in_listener(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    ws = websocket(environ)
    broken(ws)
    return ws.wsgi_response()


def fail_in_listener_late(environ: Environ, start_response: StartResponse) -> None:
    """The same, where the application leaves the receiving to the server."""
    ws = websocket(environ)
    broken(ws)
    ws.accept()


def fail_in_generator(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    yield b""
    raise RuntimeError(websocket(environ).receive())


class BrokenPage(Page):
    """A response that raises while it is iterated."""

    def __iter__(self) -> Iterator[bytes]:
        raise RuntimeError(self._ws.receive() if query_of(self._environ, "use") else "not used")


def fail_in_page(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return BrokenPage(environ, websocket(environ))


def fail_early(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise before the first use."""
    websocket(environ)
    raise RuntimeError(query_of(environ, "id"))


def twice(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Use two WebSockets; the first goes on."""
    first, second = wsdriver.WebSocket(environ), environ["wsgi.websocket"]
    if query_of(environ, "first") == "environ":
        first, second = second, first
    first.send("first")
    for use in (second.accept, lambda: second.send("second"), second.receive, second.close):
        try:
            use()
        except wsdriver.ConfigurationError as error:
            first.send(str(error))
    echo_back(first)
    return first.wsgi_response()


def held(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Accept, sleep, then echo."""
    ws = websocket(environ)
    ws.accept()
    hold(environ)
    try:
        echo_back(ws)
    finally:
        report(environ, ws)
    return ws.wsgi_response()


def held_by_time(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The same with ``time.sleep``."""
    ws = websocket(environ)
    ws.accept()
    hold(environ, time.sleep)
    echo_back(ws)
    return ws.wsgi_response()


def late(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep, then accept and echo."""
    ws = websocket(environ)
    hold(environ)
    try:
        echo_back(ws)
    finally:
        report(environ, ws)
    return ws.wsgi_response()


def watched(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep as long as the connection is open, with a short heartbeat."""
    ws = websocket(environ, ping=0.05, ping_timeout=0.2)
    ws.accept()
    deadline = time.monotonic() + LIMIT
    while ws.state == "open" and time.monotonic() < deadline:
        gevent.sleep(0.01)
    report(environ, ws, error=type(ws.close_error).__name__, latency=ws.latency)
    return ws.wsgi_response()


def flood(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send without end."""
    ws = websocket(environ)
    block = b"." * 16384
    try:
        while True:
            ws.send(block)
    except wsdriver.ConnectionClosed as error:
        ws.close()  # begun already; but now it is over, and the code is there
        report(environ, ws, error=str(error))
        raise


def pid(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Say which process this is, then echo."""
    ws = websocket(environ)
    ws.send(str(os.getpid()))
    echo_back(ws)
    return ws.wsgi_response()


# --- plain HTTP -----------------------------------------------------------------------------------------------------


def answer(start_response: StartResponse, body: bytes, status: str = "200 OK") -> list[bytes]:
    """Answer a plain request."""
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"hello\n")


def body_back(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the request's body."""
    size = int(environ.get("CONTENT_LENGTH") or -1)
    return answer(start_response, environ["wsgi.input"].read(size))


def stream(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Answer in parts, without a length."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(5):
        yield b"part %d\n" % number


def keys(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the names in the environ."""
    return answer(start_response, json.dumps(sorted(environ)).encode())


def state(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with what a WebSocket says of itself while its handler is busy."""
    ws = NAMED.get(query_of(environ, "id"))
    found = ws and {"state": ws.state, "buffered": ws.buffered_amount, "sent": ws.messages_sent}
    return answer(start_response, json.dumps(found).encode())


def process(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, str(os.getpid()).encode())


def not_found(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"not found\n", "404 Not Found")


Application = Callable[[Environ, StartResponse], "Iterable[bytes] | None"]

WEBSOCKETS: dict[str, Application] = {
    "/echo": echo,
    "/legacy": legacy,
    "/none": returns_none,
    "/only": returns_response_open,
    "/only-list": returns_list_open,
    "/page": page,
    "/generator": generator,
    "/listeners": listeners,
    "/deny": deny,
    "/fail": fail,
    "/fail-listener": fail_in_listener,
    "/fail-listener-none": fail_in_listener_late,
    "/fail-generator": fail_in_generator,
    "/fail-page": fail_in_page,
    "/fail-early": fail_early,
    "/twice": twice,
    "/held": held,
    "/held-by-time": held_by_time,
    "/late": late,
    "/watched": watched,
    "/flood": flood,
    "/pid": pid,
}

PAGES: dict[str, Application] = {
    "/": hello,
    "/body": body_back,
    "/stream": stream,
    "/keys": keys,
    "/state": state,
    "/pid": process,
    "/valid": validator(hello),
    "/valid-body": validator(body_back),
}


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes] | None:
    """Dispatch by path; what is no WebSocket request gets a page."""
    routes = WEBSOCKETS if wsdriver.is_websocket(environ) else PAGES
    return routes.get(environ["PATH_INFO"], not_found)(environ, start_response)


# --- gevent.pywsgi --------------------------------------------------------------------------------------------------


def serve() -> None:
    """Serve with gevent.pywsgi until SIGTERM."""
    from gevent.pywsgi import WSGIServer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True, help="the file for the access log")
    parser.add_argument("--certfile")
    parser.add_argument("--keyfile")
    parser.add_argument("--pool", type=int, help="serve in a pool of this size")
    parser.add_argument("--start", action="store_true", help="use start() and stop() instead of serve_forever()")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s] %(name)s: %(message)s")
    options: dict[str, Any] = {}
    if arguments.certfile:
        options.update(certfile=arguments.certfile, keyfile=arguments.keyfile)
    with arguments.log.open("a", buffering=1) as log:
        server = WSGIServer(
            ("127.0.0.1", arguments.port),
            app,
            handler_class=wsdriver.WebSocketHandler,
            spawn=arguments.pool or "default",
            log=log,
            **options,
        )
        if arguments.start:
            told = Event()
            gevent.signal_handler(signal.SIGTERM, told.set)
            server.start()
            print(LISTENING, flush=True)
            told.wait()
            server.stop()
        else:
            gevent.signal_handler(signal.SIGTERM, server.stop)
            server.start()
            print(LISTENING, flush=True)
            server.serve_forever()


if __name__ == "__main__":
    serve()
