"""A ticker: `gunicorn -k wsdriver.worker examples.eventsource:app`, then open http://127.0.0.1:8000/ in two windows.

Without gunicorn: `python examples/eventsource.py --port 8000`. Or watch the stream itself:

    curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8000/ticks

One greenlet makes the ticks, and every page gets the same ones. A page that was away (stop the server and start it
again, or close the lid of the laptop) comes back by itself and says which tick it has seen last: it gets those that it
has missed. A page that is too slow to follow is let go, and hurts no other.
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
from gevent.pywsgi import WSGIServer
from gevent.queue import Full, Queue

import wsdriver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

INTERVAL = 0.5  # seconds between ticks
HISTORY = 120  # ticks that one who comes, or comes back, gets at most
BACKLOG = 100  # ticks that a slow page may lag behind
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
    """Hands each tick to all who follow, and waits for none of them. It starts with the first.

    A tick's number, its id, is its time: numbers go on where they were when the server starts again.
    """

    def __init__(self) -> None:
        self._last = 0
        self._followers: set[Queue[int | None]] = set()

    def follow(self, last_id: str) -> Iterator[int]:
        """Yield the ticks behind the one that was seen last, and then each as it comes."""
        if not self._last:
            self._last = int(time.time() / INTERVAL)
            gevent.spawn(self._run)
        first = self._last - HISTORY + 1
        if last_id.isdecimal() and len(last_id) < 20:
            first = max(first, int(last_id) + 1)
        missed = range(first, self._last + 1)
        queue: Queue[int | None] = Queue(maxsize=BACKLOG)
        self._followers.add(queue)
        try:
            yield from missed
            while (number := queue.get()) is not None:
                yield number
        finally:
            self._followers.discard(queue)

    def _run(self) -> None:
        while True:
            gevent.sleep(max(0, (self._last + 1) * INTERVAL - time.time()))
            self._last += 1
            for queue in tuple(self._followers):
                try:
                    queue.put_nowait(self._last)
                except Full:
                    # Too far behind: this stream ends, and the page comes back for the rest.
                    self._followers.discard(queue)
                    queue.get_nowait()
                    queue.put_nowait(None)


ticker = Ticker()


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The page and its files, and the stream at /ticks."""
    path = environ["PATH_INFO"]
    if path == "/ticks" and wsdriver.is_eventsource(environ):
        es = wsdriver.EventSource(environ, retry=RETRY, send_timeout=BACKLOG * INTERVAL)
        for number in ticker.follow(es.last_event_id):
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
