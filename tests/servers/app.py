"""The application that every server serves: plain WSGI, a path for each thing that is tested.

It is told, and tells, through files, as ``tests.green.apps``.
"""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any
from wsgiref.util import shift_path_info

import gevent

import wsdriver
from tests.green.apps import LIMIT, Environ, StartResponse, answer, hold, leave, query_of, report
from tests.support.failing_views import failing_app

Application = Callable[[Environ, StartResponse], Iterable[bytes]]

#: What can be sent to from other requests, by the name of its request.
NAMED: dict[str, Any] = {}


def sleep(seconds: float) -> None:
    """Sleep as handlers do under this server: in a greenlet of its own, or in a thread of its own."""
    if isinstance(gevent.getcurrent(), gevent.Greenlet):
        gevent.sleep(seconds)
    else:
        time.sleep(seconds)


def wait_until(condition: Callable[[], object]) -> None:
    """Sleep, as a handler that is busy does, until a condition is true."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what this handler waits for does not come")
        sleep(0.01)


# --- WebSockets -----------------------------------------------------------------------------------------------------


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """As the README has it: that ``send`` may find the client gone is not the application's business."""
    ws = wsdriver.WebSocket(environ)
    try:
        for message in ws:
            ws.send(message)
    finally:
        report(environ, ws)
    return ws.wsgi_response()


def listeners(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Echo by listeners."""
    ws = wsdriver.WebSocket(environ)
    ws.on("message", lambda event: ws.send(event.data))
    ws.on("close", lambda event: leave(environ, {"close_code": event.code, "was_clean": event.was_clean}))
    return ws.wsgi_response()


def close(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Close with the code and the reason that the query has."""
    ws = wsdriver.WebSocket(environ)
    ws.close(int(query_of(environ, "code", "1000")), query_of(environ, "reason"))
    report(environ, ws)
    return ws.wsgi_response()


def big(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send one message of that size, and go."""
    ws = wsdriver.WebSocket(environ)
    try:
        ws.send(pattern(int(query_of(environ, "size"))))
        ws.close()
    finally:
        report(environ, ws)
    return ws.wsgi_response()


def busy(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep until the test lets this go on, then echo."""
    ws = wsdriver.WebSocket(environ)
    ws.accept()
    hold(environ, sleep)
    for message in ws:
        ws.send(message)
    report(environ, ws)
    return ws.wsgi_response()


def late(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep first, and take the connection over when all that the test sent has long been there."""
    hold(environ, sleep)
    return echo(environ, start_response)


def asleep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep as long as the connection lives."""
    ws = wsdriver.WebSocket(environ)
    ws.accept()
    wait_until(lambda: ws.state == "closed")
    report(environ, ws)
    return ws.wsgi_response()


def named(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Receive, while other requests send (``/tell``)."""
    ws = NAMED[query_of(environ, "id")] = wsdriver.WebSocket(environ)
    ws.send("ready")
    for message in ws:
        ws.send(message)
    return ws.wsgi_response()


def url(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Say what is known of the request."""
    ws = wsdriver.WebSocket(environ)
    ws.send(json.dumps({"url": ws.url, "secure": ws.secure, "remote": ws.remote_address}))
    return ws.wsgi_response()


def crash(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Raise what the first message says."""
    raise RuntimeError(wsdriver.WebSocket(environ).receive())


def wandered(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Return without a word of the WebSocket, after the first message."""
    ws = wsdriver.WebSocket(environ)
    ws.send(ws.receive() or "")
    return []


def strayed(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The same, with a page that nobody may see."""
    ws = wsdriver.WebSocket(environ)
    ws.send(ws.receive() or "")
    return answer(start_response, b"this is a page, and no frame")


def refuse(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer without a use of the WebSocket."""
    wsdriver.WebSocket(environ)
    return answer(start_response, b"not you\n", "401 Unauthorized")


# --- server-sent events ---------------------------------------------------------------------------------------------


def events(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send some, and end the stream."""
    es = wsdriver.EventSource(environ, retry=10)
    es.send(json.dumps({"url": es.url, "last_event_id": es.last_event_id}), event="hello", id="1")
    es.send("two\nlines")
    es.send("Grüße, 世界", id="3")
    es.ping()
    es.close()
    return es.wsgi_response()


def open_events(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Leave the stream open; other requests send on it (``/tell``)."""
    es = NAMED[query_of(environ, "id")] = wsdriver.EventSource(environ)
    es.on("close", lambda *event: leave(environ, {"closed": True}))
    es.send("ready")
    return es.wsgi_response()


def busy_events(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Sleep until the client goes."""
    gone = []
    es = wsdriver.EventSource(environ)
    es.on("close", lambda *event: gone.append(event))
    es.send("ready")
    wait_until(lambda: gone)
    leave(environ, {"closed": len(gone)})
    return es.wsgi_response()


def many_events(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send more than any buffer on the way holds."""
    es = wsdriver.EventSource(environ)
    for number in range(500):
        es.send(f"{number} " + "." * 4000)
    es.close()
    return es.wsgi_response()


# --- pages ----------------------------------------------------------------------------------------------------------


def plain(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"a page\n")


def tell(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send on the WebSocket or the stream of another request."""
    NAMED[query_of(environ, "id")].send(query_of(environ, "text"))
    return answer(start_response, b"told\n")


def hang_up(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Close the WebSocket or the stream of another request."""
    NAMED[query_of(environ, "id")].close()
    return answer(start_response, b"closed\n")


def not_found(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return answer(start_response, b"not found\n", "404 Not Found")


ROUTES: dict[str, Application] = {
    "/echo": echo,
    "/listeners": listeners,
    "/close": close,
    "/big": big,
    "/busy": busy,
    "/late": late,
    "/asleep": asleep,
    "/named": named,
    "/url": url,
    "/crash": crash,
    "/wandered": wandered,
    "/strayed": strayed,
    "/refuse": refuse,
    "/events": events,
    "/open-events": open_events,
    "/busy-events": busy_events,
    "/many-events": many_events,
    "/plain": plain,
    "/tell": tell,
    "/hang-up": hang_up,
}

#: Applications of frameworks, each under its name.
MOUNTED = {
    "bottle": "examples.frameworks.bottle_app",
    "django": "examples.frameworks.django_app",
    "falcon": "examples.frameworks.falcon_app",
    "flask": "examples.frameworks.flask_app",
    "flask-login": "examples.flask_app",
}


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Dispatch by path; a framework is loaded at its first request."""
    first = environ["PATH_INFO"].split("/")[1]
    if first in MOUNTED:
        shift_path_info(environ)
        framework: Application = import_module(MOUNTED[first]).app
        return framework(environ, start_response)
    if first == "failing":
        shift_path_info(environ)
        failing: Application = failing_app(shift_path_info(environ) or "")
        return failing(environ, start_response)
    return ROUTES.get(environ["PATH_INFO"], not_found)(environ, start_response)


def pattern(size: int) -> bytes:
    """Return that many bytes, of which each part is unlike the one before."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]
