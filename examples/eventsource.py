"""A ticker: `gunicorn -k wsdriver.worker examples.eventsource:app`, then open http://127.0.0.1:8000/ in two windows.

Without gunicorn: `python examples/eventsource.py --port 8000`. Or watch the stream itself:

    curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8000/ticks

One greenlet makes the ticks, and every page gets the same ones. A page that was away (stop the server and start it
again, or close the lid of the laptop) comes back by itself and says which tick it has seen last: it gets those that it
has missed. A slow page holds up nobody: `send` waits, in its own greenlet, and the page reads on behind the others.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event
from gevent.pywsgi import WSGIServer

import wsdriver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

INTERVAL = 0.5  # seconds between ticks
HISTORY = 120  # ticks that can be had later
RETRY = 1  # seconds until a page that has lost its stream comes back

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/ticker.css": ("ticker.css", "text/css; charset=utf-8"),
    "/ticker.js": ("ticker.js", "text/javascript; charset=utf-8"),
}
FOLDER = Path(__file__).with_suffix("")
HEADERS = [
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'self'; img-src data:"),
]


def data_of(number: int) -> str:
    """What a tick says. Where it cannot be worked out again, as it can here, past events are kept in a list."""
    value = 100 + 12 * math.sin(number / 9) + 5 * math.sin(number / 2.3)
    return json.dumps({"time": number * INTERVAL, "value": round(value, 2)})


class Ticker:
    """Counts the ticks; all who follow are woken, and read on at their own pace. It starts with the first of them.

    A tick's number, its id, is its time: numbers go on where they were when the server starts again.
    """

    def __init__(self) -> None:
        self._last = 0
        self._next = Event()

    def follow(self, last_id: str) -> Iterator[int]:
        """Yield the ticks behind the one that was seen last, and then each as it comes.

        One who reads so slowly that it falls behind the history misses what has left it.
        """
        if not self._last:
            self._last = int(time.time() / INTERVAL)
            gevent.spawn(self._run)
        seen = min(int(last_id), self._last) if last_id.isdecimal() and len(last_id) < 20 else 0
        while True:
            seen = max(seen, self._last - HISTORY)
            while seen == self._last:
                self._next.wait()
            seen += 1
            yield seen

    def _run(self) -> None:
        while True:
            gevent.sleep(max(0, (self._last + 1) * INTERVAL - time.time()))
            self._last += 1
            ticked, self._next = self._next, Event()
            ticked.set()


ticker = Ticker()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The page and its files, and the stream at /ticks."""
    path = environ["PATH_INFO"]
    if path == "/ticks" and wsdriver.is_eventsource(environ):
        es = wsdriver.EventSource(environ, retry=RETRY)
        for number in ticker.follow(es.last_event_id):  # until send raises ConnectionClosed: the usual end, no error
            es.send(data_of(number), event="tick", id=str(number))
        return es.wsgi_response()
    if path in FILES:
        name, content_type = FILES[path]
        status, body = "200 OK", (FOLDER / name).read_bytes()
    else:
        content_type = "text/plain; charset=utf-8"
        status, body = "404 Not Found", b"Not found\n"
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body))), *HEADERS])
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]


def main() -> None:
    parser = argparse.ArgumentParser(description="A ticker on gevent's own WSGI server.")
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
