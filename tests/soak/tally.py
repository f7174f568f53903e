"""Who was there, and how often each was told of the end: once is right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """Counts of one run.

    Attributes:
        opened: WebSockets that were there.
        heard: those whose listener for ``close`` was called, by code.
        twice: how often it was called once more.
        refused: attempts of a client from which no WebSocket came.
        went_through: sends that should have blocked, and did not.
        stuck: what went wrong at the other end, by what it says.
    """

    opened: int = 0
    heard: Counter[int] = field(default_factory=Counter)
    twice: int = 0
    refused: int = 0
    went_through: int = 0
    stuck: Counter[str] = field(default_factory=Counter)

    def begin(self, ws: Any) -> None:
        """Listen for the end of a WebSocket."""
        self.opened += 1
        ws.on("close", Life(self))


class Life:
    """Of one WebSocket: its listener for ``close``."""

    __slots__ = ("_over", "_tally")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._over = False

    def __call__(self, event: Any) -> None:
        if self._over:
            self._tally.twice += 1
        self._over = True
        self._tally.heard[event.code] += 1
