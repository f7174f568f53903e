"""The connections of one server, and how they end together."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING

from gevent import get_hub
from gevent.event import Event

if TYPE_CHECKING:
    from wsdriver.green.connection import Connection
    from wsdriver.green.eventsource import EventSource

__all__ = ["Registry"]

GOING_AWAY = (1001, "server going away")


class Registry:
    """The connections that are alive. Each leaves by itself when its socket is closed."""

    __slots__ = ("_connections", "_empty", "closing")

    def __init__(self) -> None:
        self._connections: set[Connection | EventSource] = set()
        self._empty: Event | None = None  # for who waits for the last to go
        self.closing = False

    def add(self, connection: Connection | EventSource) -> None:
        """Take a connection in; where all are going away, it is told so once it is open."""
        connection._at_release(self.discard)
        self._connections.add(connection)
        if self.closing:
            get_hub().loop.run_callback(connection._start_close, *GOING_AWAY)

    def discard(self, connection: Connection | EventSource) -> None:
        """Forget a connection: it has ended, or is none after all."""
        self._connections.discard(connection)
        if self._empty is not None and not self._connections:
            self._empty.set()

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection | EventSource]:
        return iter(tuple(self._connections))

    def __contains__(self, connection: object) -> bool:
        return connection in self._connections

    def start_closing(self) -> None:
        """Send 1001 to all of them; waits for nothing."""
        self.closing = True
        for connection in self:
            connection._start_close(*GOING_AWAY)

    def close(self, timeout: float) -> None:
        """Close all of them with 1001; return when the last is gone. After ``timeout`` seconds the rest is cut."""
        deadline = monotonic() + timeout
        self.start_closing()
        if self._connections:
            if self._empty is None:
                self._empty = Event()
            self._empty.clear()
            self._empty.wait(max(0.0, deadline - monotonic()))
        for connection in self:
            connection.terminate()
