"""How often each connection ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent

__all__ = ["Ends"]

PATIENCE = 20.0


class Ends:
    """Counts, by connection, how often its listener was told of the end, and how often its handler ended."""

    def __init__(self) -> None:
        self._begun = 0
        self._returned = 0
        self._closes: list[list[int]] = []

    @property
    def begun(self) -> int:
        """How many handlers have begun."""
        return self._begun

    def listen(self, ws: Any) -> None:
        """Count the ends that this connection tells of."""
        codes: list[int] = []
        self._closes.append(codes)
        ws.on("close", lambda event: codes.append(event.code))

    def run(self, handler: Callable[[Any], object], ws: Any) -> None:
        """Run a handler, and count its end."""
        self._begun += 1
        self.listen(ws)
        try:
            handler(ws)
        finally:
            self._returned += 1

    def tell(self) -> dict[str, Any]:
        """Return the handlers that run, how many connections have told of their end so many times, and the codes."""
        told = Counter(str(len(codes)) for codes in self._closes)
        codes = Counter(str(code) for codes in self._closes for code in codes)
        return {"unfinished": self._begun - self._returned, "told": dict(told), "codes": dict(codes)}

    def settle(self) -> dict[str, Any]:
        """Wait until all have ended, and a moment for what is told twice; then tell."""
        deadline = monotonic() + PATIENCE
        while monotonic() < deadline and not (self._begun == self._returned and all(self._closes)):
            gevent.sleep(0.01)
        gevent.sleep(0.05)
        return self.tell()
