"""Many that have the same time, by one timer."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from gevent import get_hub

__all__ = ["Deadlines"]


class Deadlines:
    """Those that have some seconds from when they are added; who is still there then is told of.

    Args:
        seconds: how long; None for ever.
        expired: called with each, in the hub.
    """

    __slots__ = ("_deadlines", "_expired", "_seconds", "_timer")

    def __init__(self, seconds: float | None, expired: Callable[[Any], object]) -> None:
        self._seconds = seconds
        self._expired = expired
        self._deadlines: dict[Any, float] = {}  # in order, since all have the same time
        self._timer: Any = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, member: Any) -> None:
        """Begin to count the time of one."""
        if self._seconds is not None:
            self._deadlines[member] = monotonic() + self._seconds
            if self._timer is None:
                self._arm(self._seconds)

    def discard(self, member: Any) -> float | None:
        """Forget one, if it is there; return its deadline. (The timer, which others may need, finds out when it fires.)

        Returns:
            by the monotonic clock; None where it was not there, or has for ever.
        """
        return self._deadlines.pop(member, None)

    def _arm(self, seconds: float) -> None:
        self._timer = get_hub().loop.timer(max(seconds, 0.001))
        self._timer.start(self._look)

    def _look(self) -> None:
        self._timer.stop()
        self._timer.close()
        self._timer = None
        now = monotonic()
        due = []
        for member, deadline in self._deadlines.items():
            if deadline > now:
                self._arm(deadline - now)
                break
            due.append(member)
        for member in due:
            del self._deadlines[member]
            get_hub().loop.run_callback(self._expired, member)
