"""What the connections of one hub share, and how other threads reach it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from gevent import spawn
from gevent.hub import Hub
from gevent.monkey import get_original

__all__ = ["call_in_hub", "scratch_of"]

#: The real one: gevent's patch makes the name mean a lock for greenlets.
allocate_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")

#: What one read takes at most: enough to fill a fast peer's pipe, and it stays in the processor's cache.
SCRATCH = 256 * 1024

#: Seconds between looks at whether the other thread is still there.
PATIENCE = 1

log = logging.getLogger("wsdriver")

_scratches: WeakKeyDictionary[Hub, bytearray] = WeakKeyDictionary()


def scratch_of(hub: Hub) -> bytearray:
    """Return the hub's read buffer. One is enough: it is emptied before anything else can run."""
    scratch = _scratches.get(hub)
    if scratch is None:
        scratch = _scratches[hub] = bytearray(SCRATCH)
    return scratch


def call_in_hub(hub: Hub, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a greenlet of another thread's hub, and block this thread until it is done.

    Raises:
        RuntimeError: that thread has ended.
        what the function raises.
    """
    done = allocate_lock()
    done.acquire()
    outcome: list[Any] = [None, None]

    def run() -> None:
        try:
            outcome[0] = function(*arguments)
        except BaseException as error:
            outcome[1] = error
        finally:
            done.release()

    hub.loop.run_callback_threadsafe(spawn, run)
    waited = 0
    while not done.acquire(timeout=PATIENCE):
        if hub.thread_ident not in sys._current_frames():
            raise RuntimeError("the thread that the connection belongs to has ended")
        waited += PATIENCE
        if waited == 10 * PATIENCE:
            log.warning("a call from another thread waits: the connection's own thread does not run its event loop")
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]
