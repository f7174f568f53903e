"""Hubs whose thread has ended.

gevent leaves it to a thread to call ``hub.destroy()`` at its end. A script that calls :func:`wsdriver.connect` in
threads knows of no hub, and each of them would leave two file descriptors behind, and a thread that looks up names.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from gevent.hub import Hub
from gevent.monkey import get_original

from wsdriver.green.waking import is_main_thread

__all__ = ["destroy_abandoned", "is_abandoned", "watch_thread"]

#: What a thread drops when it ends.
_own: Any = get_original("_thread", "_local")()

#: Those that are not destroyed yet.
_abandoned: set[Hub] = set()


class _End:
    """What a thread drops when it ends. No greenlet may be switched to then."""

    __slots__ = ("_pid", "hub")

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._pid = os.getpid()

    def __del__(self) -> None:
        # A fork ends threads too, in the middle of what they do; and so does the interpreter's end.
        if sys is None or sys.is_finalizing() or self._pid != os.getpid():
            return
        pool = self.hub._threadpool
        if pool is not None:
            for _ in range(pool.size):
                pool.task_queue.put(None)  # the end of each of its threads
        _abandoned.add(self.hub)


def watch_thread(hub: Hub) -> None:
    """Notice the end of the thread that a hub belongs to; in that thread."""
    if not is_main_thread():
        # (One that the thread has destroyed itself is dropped here.)
        kept = [end for end in getattr(_own, "ends", ()) if end.hub.loop is not None]
        _own.ends = [*kept, _End(hub)]


def is_abandoned(hub: Hub) -> bool:
    """Tell whether the thread of a hub is known to have ended, or to have destroyed it."""
    return hub.loop is None or hub in _abandoned


def destroy_abandoned() -> list[Hub]:
    """Give back what abandoned hubs hold; returns them.

    It does not wait: one that still looks up a name is left for the next time.
    """
    destroyed = []
    for hub in tuple(_abandoned):
        if hub._threadpool is None or not hub._threadpool.size:
            try:
                _abandoned.remove(hub)
            except KeyError:
                continue  # another thread does it
            if hub.loop is not None:
                hub.destroy(destroy_loop=True)
            destroyed.append(hub)
    return destroyed
