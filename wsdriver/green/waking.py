"""A wait that any thread may end: of a greenlet in its hub, or of a plain thread."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any

from gevent import get_hub, getcurrent
from gevent._hub_local import get_hub_if_exists
from gevent.hub import Hub, Waiter

from wsdriver.green.native import allocate_lock
from wsdriver.green.sockio import get_ident

__all__ = ["Signal", "Turn", "hub_here", "is_main_thread", "pass_turn", "time_left"]

#: Seconds that one may take while others wait.
TURN = 0.005


def hub_here() -> Hub | None:
    """Return the hub that greenlets of this thread wait in; None in a plain thread."""
    hub = get_hub_if_exists()
    if hub is None and is_main_thread():
        hub = get_hub()
    return hub


def is_main_thread() -> bool:
    """Tell whether this is the thread that the program began in."""
    hub = get_hub_if_exists()
    # (Where threading is patched, the main thread's ident is that of a greenlet; but there it has its hub.)
    here: bool = get_ident() == threading.main_thread().ident if hub is None else hub.main_hub
    return here


def pass_turn(hub: Hub) -> None:
    """Have this greenlet wait until the loop has looked at all sockets and timers once.

    ``sleep(0)`` is less: the loop runs up to fifty of its callbacks, whoever they belong to, before it does so.
    """
    timer = hub.loop.timer(0)
    try:
        hub.wait(timer)
    finally:
        timer.close()


class Turn:
    """How long a greenlet has run without a pause; for one that may never have to wait."""

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began = monotonic()

    def pause_if_long(self) -> None:
        """Let the others have their turn, timers and sockets among them, where it has been long."""
        hub = get_hub()
        if monotonic() - self._began > TURN and getcurrent() is not hub:
            pass_turn(hub)
            self._began = monotonic()


def time_left(deadline: float | None) -> float | None:
    """Return the seconds until a deadline, at least 0; None for none."""
    return None if deadline is None else max(deadline - monotonic(), 0.0)


class Signal:
    """Made by the one who will wait; set once, by anybody.

    A greenlet waits as greenlets do, and the others of its thread go on. Where its thread has no hub, or this is the
    hub itself, the thread is blocked.
    """

    __slots__ = ("__weakref__", "_hub", "_is_set", "_lock", "_watcher")

    def __init__(self) -> None:
        self._is_set = False
        hub = hub_here()
        self._hub = None if getcurrent() is hub else hub
        self._watcher: Any = None
        self._lock: Any = None
        if self._hub is None:
            self._lock = allocate_lock()
            self._lock.acquire()

    def set(self) -> None:
        """End the wait, or have it not begin."""
        if self._is_set:
            return
        self._is_set = True
        if self._lock is not None:
            try:
                self._lock.release()
            except RuntimeError:
                pass  # another thread was as fast
        elif self._watcher is not None:
            self._watcher.send()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; False where that has not come in time."""
        if self._hub is None:
            self._lock.acquire(timeout=-1 if timeout is None else timeout)
            return self._is_set
        if self._is_set or (timeout is not None and timeout <= 0):
            return self._is_set
        waiter = Waiter(self._hub)
        # Started before the look at _is_set: who sets it in between finds a watcher to send to. It also keeps the loop
        # running where nothing else does.
        if self._watcher is None:
            self._watcher = self._hub.loop.async_()
        self._watcher.start(waiter.switch, None)
        timer = None if timeout is None else self._hub.loop.timer(timeout)
        try:
            if timer is not None:
                timer.start(waiter.switch, None)
            if not self._is_set:
                waiter.get()
        finally:
            # (Not closed while somebody may still send to it.)
            self._watcher.stop()
            if self._is_set:
                self._watcher.close()
            if timer is not None:
                timer.close()
        return self._is_set
