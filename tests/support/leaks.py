"""Whether something is left: counts of what must not grow, compared once they have come to rest."""

from collections.abc import Callable
from time import monotonic

import gevent

REST = 0.3
PATIENCE = 20.0


def at_rest(count: Callable[[], dict[str, int]]) -> dict[str, int]:
    """What `count` says when it has said the same for a while: what is just ending is not part of a baseline."""
    last, since = count(), monotonic()
    deadline = since + PATIENCE
    while monotonic() < deadline and monotonic() - since < REST:
        gevent.sleep(0.05)
        now = count()
        if now != last:
            last, since = now, monotonic()
    return last


def assert_nothing_left(count: Callable[[], dict[str, int]], before: dict[str, int]) -> None:
    """Fails unless every count comes back to what it was before, or below: what had been ending by then may be gone."""
    deadline = monotonic() + PATIENCE
    while any(number > before[name] for name, number in count().items()) and monotonic() < deadline:
        gevent.sleep(0.05)
    left = {name: number - before[name] for name, number in count().items() if number > before[name]}
    assert not left, f"more than before: {left}"
