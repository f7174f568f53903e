"""The server of the load: it judges what it gets, sends it back, and sends as much of its own.

As a program (``python -m tests.soak.load_server PORT``) a WebSocketServer; ``app`` is the same for gunicorn. Who asks
for ``/report`` gets the figures of the process, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import wsdriver
from tests.bench.process import raise_open_files
from tests.soak.census import census, resident_mib
from tests.soak.numbered import Judge, Stream

#: (How long the clients' machine takes to connect them is not what is looked at here.)
OPTIONS: dict[str, Any] = {"extensions": [wsdriver.PermessageDeflate()], "open_timeout": 60}

#: The code with which a client that is through says so, and how many messages went which way.
THROUGH = 4000

FAULTS: Counter[str] = Counter()
FIGURES: Counter[str] = Counter()


def serve(ws: wsdriver.WebSocket) -> None:
    """The handler."""
    path = ws.handshake.path
    if path == "/report":
        ws.send(json.dumps(report()))
        return
    client = path[1:]
    judge = Judge(f"to{client}", faults=FAULTS)
    stream = Stream(f"from{client}")
    ends: list[int] = []
    ws.on("close", lambda event: ends.append(event.code))
    FIGURES["open"] += 1
    FIGURES["opened"] += 1
    try:
        for message in ws:
            judge.check(message)
            ws.send(message)
            ws.send(stream.next())
    finally:
        FIGURES["open"] -= 1
    received = judge.counts[f"to{client}"]
    FIGURES["received"] += received
    FIGURES["sent"] += received + stream.sent
    FIGURES["used"] += received > 0
    if ends != [ws.close_code]:
        FAULTS[f"{len(ends)} close events"] += 1
    if ws.close_code != THROUGH or not ws.was_clean:
        FAULTS[f"ended with {ws.close_code}"] += 1
    elif ws.close_reason != f"{received} {stream.sent}":
        FAULTS["message lost at the end"] += 1


def report() -> dict[str, Any]:
    """The figures of now."""
    counts = census()
    kept = {name: counts[name] for name in ("descriptors", "greenlets", "watchers", "active")}
    return {"faults": dict(FAULTS), **FIGURES, **kept, "resident": resident_mib(), "pid": os.getpid()}


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The application, for gunicorn."""
    ws = wsdriver.WebSocket(environ, **OPTIONS)
    serve(ws)
    return ws.wsgi_response()


if __name__ == "__main__":
    raise_open_files(1 << 20)
    wsdriver.serve(serve, "127.0.0.1", int(sys.argv[1]), backlog=2048, **OPTIONS)
