"""The WSGI application that gunicorn serves while something goes wrong: it notes what becomes of each connection.

It is served under another name by a module that the test writes, and writes anew for a reload:

    from tests.faults.gunicorn_app import make_app
    app = make_app("old")
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import gevent

import wsdriver

__all__ = ["make_app"]

DIRECTORY = Path(os.environ.get("WSDRIVER_TEST_DIRECTORY", "."))

#: Seconds that a handler takes, unless its worker dies before.
BLOCKED = 60

counter = itertools.count()


def note(*words: object) -> None:
    """Append a line to the events, whole, whoever else writes there."""
    with (DIRECTORY / "events.log").open("ab", buffering=0) as events:
        events.write(" ".join(map(str, words)).encode() + b"\n")


def echo(environ: dict[str, Any], version: str) -> Iterable[bytes]:
    """Say who this is, then echo; note the beginning, each ``close`` event, and the end."""
    ws = wsdriver.WebSocket(environ)
    name = f"{os.getpid()}-{next(counter)}"
    ws.on("close", lambda event: note(name, "close", event.code))
    ws.accept()
    note(name, "open")
    try:
        ws.send(json.dumps({"name": name, "pid": os.getpid(), "version": version}))
        for message in ws:
            ws.send(message)
    finally:
        note(name, "end")
    return ws.wsgi_response()


def slow(environ: dict[str, Any], version: str) -> Iterable[bytes]:
    """Take long to answer the handshake; note that it has come."""
    (DIRECTORY / f"asked-{os.getpid()}").touch()
    gevent.sleep(BLOCKED)
    return echo(environ, version)


def block(environ: dict[str, Any], version: str) -> Iterable[bytes]:
    """Block the worker at the first message, as it says: in Python code or in a call that returns to none."""
    ws = wsdriver.WebSocket(environ)
    how, _, seconds = str(ws.receive()).partition(" ")
    if how == "python":
        spin(float(seconds or BLOCKED))
    else:
        # Some minutes of it, with Python's lock released; signals wait until it returns.
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1_000_000_000)
    ws.send("over")
    return ws.wsgi_response()


def spin(seconds: float) -> None:
    """Be busy, and let nobody else run."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pass


def make_app(version: str) -> Any:
    """Return the application of one version of the code, and note that this process has got so far."""
    (DIRECTORY / f"ready-{os.getpid()}").touch()
    return partial(serve, version)


def serve(version: str, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    if wsdriver.is_websocket(environ):
        return {"/echo": echo, "/slow": slow, "/block": block}[environ["PATH_INFO"]](environ, version)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(version)))])
    return [version.encode()]
