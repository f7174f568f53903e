"""A server in a process of its own, which a connection of ours controls."""

from __future__ import annotations

import json
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

import gevent

import wsdriver
from tests.support.gunicorn import Gunicorn, Server

__all__ = ["KINDS", "Peer"]

KINDS = ["stream", "gunicorn", "pywsgi"]

PATIENCE = 20.0


class Peer:
    """``app.py`` in a server of that kind. A context manager.

    Args:
        directory: for its files.
        kind: one of KINDS.
        options: of the WebSocketServer, where it is one.
    """

    def __init__(self, directory: Path, kind: str, **options: Any) -> None:
        if kind == "gunicorn":
            self.server: Server = Gunicorn(directory, application="tests.faults.app:app")
        else:
            self.server = Server(directory)
            try:
                self.server.start("serving", "-m", "tests.faults.app", kind, str(self.server.port), json.dumps(options))
            except BaseException:
                self.server.close()
                raise
        self.url = self.server.url
        self.pid = self.server.pid
        self._control = wsdriver.connect(f"{self.url}/control", ping=None)

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._control.terminate()
        self.server.close()

    def ask(self, word: str) -> Any:
        """Have the process do one of the application's commands; return what it says."""
        self._control.send(word)
        return json.loads(self._control.receive(PATIENCE) or "null")

    def ends(self, count: int) -> dict[str, Any]:
        """Wait for the ends of so many connections, and a moment for those that are told twice; tell of them."""
        deadline = monotonic() + PATIENCE
        while True:
            found: dict[str, Any] = self.ask("ends")
            if monotonic() > deadline or (not found["unfinished"] and sum(found["codes"].values()) >= count):
                break
            gevent.sleep(0.05)
        gevent.sleep(0.1)
        return dict(self.ask("ends"))
