"""A WebSocket application for any server, which counts its ends, and brings faults over its own process.

``python -m tests.faults.app KIND PORT OPTIONS`` serves it: by ``stream`` (WebSocketServer, with options in JSON) or
``pywsgi``. gunicorn takes ``app``.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.pywsgi import WSGIServer

import wsdriver
from tests.faults.ends import Ends

ends = Ends()


class Raising(logging.Handler):
    """A handler that does not know how to fail."""

    def emit(self, record: logging.LogRecord) -> None:
        with open("/dev/full", "w") as file:
            file.write(record.getMessage())


def echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


def hoard(ws: Any) -> None:
    """Never receive."""
    ws.accept()
    while ws.state != "closed":
        gevent.sleep(0.01)


def push(ws: Any) -> None:
    """Send for ever, so that sending blocks where nobody reads."""
    while True:
        ws.send(bytes(65536))


def fail(ws: Any) -> None:
    raise RuntimeError(ws.receive())


HANDLERS = {"/echo": echo, "/hoard": hoard, "/push": push, "/fail": fail}


def control(ws: Any) -> None:
    """Do what is asked for, and tell."""
    for word in ws:
        ws.send(json.dumps(COMMANDS[str(word)]()))


def starve() -> None:
    """Leave no descriptor free."""
    free = os.dup(0)
    os.close(free)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, most))


def feed() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def fill_disk() -> int:
    """Have each file that is open for writing, stdout and stderr be on a disk that is full; return how many are."""
    full = os.open("/dev/full", os.O_WRONLY)
    count = 0
    for entry in list(Path("/proc/self/fd").iterdir()):
        number = int(entry.name)
        try:
            target = os.readlink(entry)
        except OSError:
            continue  # that of the directory itself
        if number in (1, 2) or target.endswith(".log"):
            os.dup2(full, number)
            count += 1
    logging.getLogger("wsdriver").addHandler(Raising())
    return count


COMMANDS: dict[str, Any] = {
    "ends": ends.tell,
    "cpu": time.process_time,
    "starve": starve,
    "feed": feed,
    "fill": fill_disk,
}


def handle(ws: Any) -> None:
    """Serve one connection: ``/control``, or a handler by its path."""
    path = ws.handshake.path
    if path == "/control":
        control(ws)
    else:
        ends.run(HANDLERS[path], ws)


def app(environ: dict[str, Any], start_response: Any) -> Any:
    if not wsdriver.is_websocket(environ):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
    ws = wsdriver.WebSocket(environ)
    handle(ws)
    return ws.wsgi_response()


def main(kind: str, host: str, port: int, **options: Any) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server: Any
    if kind == "stream":
        server = wsdriver.WebSocketServer((host, port), handle, **options)
    else:
        server = WSGIServer((host, port), app, handler_class=wsdriver.WebSocketHandler)
    server.start()
    print("serving", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    logging.basicConfig()
    main(sys.argv[1], "127.0.0.1", int(sys.argv[2]), **json.loads(sys.argv[3]))
