"""A dashboard: `gunicorn -k wsdriver.worker examples.dashboard:app`, then open http://127.0.0.1:8000/

Without gunicorn: `python examples/dashboard.py --port 8000`. Or watch the stream itself:

    curl -N -H 'Accept: text/event-stream' http://127.0.0.1:8000/figures

Once a second the process publishes its figures on a channel, which keeps those of the last minutes. Each page joins the
channel with its EventSource: it gets what is kept, or after a lost connection what it has missed, and then each
second as it comes. So that there is something to see, the page makes some load itself, on WebSockets to /echo.

With CHANNEL_URL=redis://... any number of workers and machines publish on the same channel; pages show their sum.
"""

from __future__ import annotations

import argparse
import json
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
from gevent.pywsgi import WSGIServer

import wsdriver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

INTERVAL = 1.0  # seconds between figures
HISTORY = 480  # figures that are kept: those of four processes in the two minutes that a page shows
RETRY = 1  # seconds until a page that has lost its stream comes back

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/dashboard.css": ("dashboard.css", "text/css; charset=utf-8"),
    "/dashboard.js": ("dashboard.js", "text/javascript; charset=utf-8"),
}
FOLDER = Path(__file__).with_suffix("")
HEADERS = [
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "default-src 'self'; connect-src 'self' ws: wss:; img-src data:"),
]

channel = wsdriver.Channel("dashboard", history=HISTORY)


class Meter:
    """Counts what the WebSockets of this process do, and publishes it."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._open: set[wsdriver.WebSocket] = set()
        self._ended = [0, 0, 0, 0]
        self._running = False

    def start(self) -> None:
        """Begin to publish: at the first request, which is in the worker, and not in the process that forks it."""
        if not self._running:
            self._running = True
            gevent.spawn(self._run)

    def count(self, ws: wsdriver.WebSocket) -> None:
        self._open.add(ws)

    def discount(self, ws: wsdriver.WebSocket) -> None:
        self._open.discard(ws)
        self._ended = self._plus(self._ended, ws)

    def _run(self) -> None:
        totals, cpu, then = self._totals(), time.process_time(), time.monotonic()
        while True:
            due = (time.time() // INTERVAL + 1) * INTERVAL
            gevent.sleep(due - time.time())
            late = max(0.0, time.time() - due)  # what a greenlet waits here for its turn
            before, cpu_before, before_that = totals, cpu, then
            totals, cpu, then = self._totals(), time.process_time(), time.monotonic()
            span = then - before_that
            names = ("received", "sent", "bytes_received", "bytes_sent")
            rates = {name: (now - old) / span for name, now, old in zip(names, totals, before, strict=True)}
            trips = [ws.latency for ws in self._open if ws.latency is not None]
            figures = {
                "time": round(due),
                "process": self._process,
                "open": len(self._open),
                **{name: round(rate, 1) for name, rate in rates.items()},
                "trip": round(1000 * sum(trips) / len(trips), 2) if trips else None,
                "late": round(1000 * late, 2),
                "cpu": round(100 * (cpu - cpu_before) / span, 1),
            }
            try:
                channel.publish(json.dumps(figures))
            except ConnectionError:
                pass  # Redis is away: the pages of this process have got them, the others never will

    def _totals(self) -> list[int]:
        totals = self._ended
        for ws in self._open:
            totals = self._plus(totals, ws)
        return totals

    def _plus(self, totals: list[int], ws: wsdriver.WebSocket) -> list[int]:
        figures = (ws.messages_received, ws.messages_sent, ws.bytes_received, ws.bytes_sent)
        return [total + figure for total, figure in zip(totals, figures, strict=True)]


meter = Meter()


def echo(ws: wsdriver.WebSocket) -> None:
    """Answer each message with itself, and be counted."""
    meter.count(ws)
    try:
        for message in ws:
            ws.send(message)
    finally:
        meter.discount(ws)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The page and its files, the stream at /figures, and the echo at /echo."""
    meter.start()
    path = environ["PATH_INFO"]
    if path == "/figures" and wsdriver.is_eventsource(environ):
        es = wsdriver.EventSource(environ, retry=RETRY)
        channel.join(es, since=None if es.last_event_id else "0")  # the rest, if it has had some
        es.run()
        return es.wsgi_response()
    if path == "/echo" and wsdriver.is_websocket(environ):
        ws = wsdriver.WebSocket(environ, ping=1, max_length=1024, origins="same")
        echo(ws)
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
    parser = argparse.ArgumentParser(description="A dashboard on gevent's own WSGI server.")
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
