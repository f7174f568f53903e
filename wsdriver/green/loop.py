"""What the connections of one hub share, and how other threads reach it.

A gevent server has its hub. A server that gives each request a thread of its own has none: there the connections belong
to one thread more, which runs a hub for all of them. They are read while their handlers sleep, and their handlers'
calls are done in that thread, and block their own.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent import get_hub, spawn
from gevent.hub import Hub

from wsdriver.green.abandoned import destroy_abandoned, is_abandoned, watch_thread
from wsdriver.green.native import allocate_lock, start_thread
from wsdriver.green.sockio import get_ident
from wsdriver.green.waking import Signal
from wsdriver.log import log

__all__ = ["call_in_hub", "call_soon", "io_hub", "is_io_hub", "scratch_of", "spawn_for", "take_calls"]

#: What one read takes at most: two messages of 64 KiB with their headers. It fills a fast peer's pipe, stays in the
#: processor's cache, and takes no longer than others may be made to wait. (Larger messages are read past it.)
SCRATCH = 132 * 1024

#: Seconds between looks at whether the other thread is still there.
PATIENCE = 1

THREAD_ENDED = "the thread that the connection belongs to has ended"

#: The hub of the connections of threads, by the process that it lives in: a fork leaves threads behind.
_io_hubs: dict[int, Hub] = {}
_io_lock = allocate_lock()

#: Of those, the ones that stand still, because the program ends.
_parked: set[Hub] = set()

#: The attribute of a hub that has its read buffer.
_SCRATCH_NAME = "_wsdriver_scratch"

#: ... and what other threads want called in it.
_CALLS_NAME = "_wsdriver_calls"

_calls_lock = allocate_lock()


def scratch_of(hub: Hub) -> bytearray:
    """Return the hub's read buffer; in its thread. One is enough: it is emptied before anything else can run."""
    scratch: bytearray | None = getattr(hub, _SCRATCH_NAME, None)
    if scratch is None:
        scratch = bytearray(SCRATCH)
        setattr(hub, _SCRATCH_NAME, scratch)
        take_calls(hub)
        watch_thread(hub)
        for abandoned in destroy_abandoned():
            vars(abandoned).pop(_SCRATCH_NAME, None)  # gevent keeps what is left of it
    return scratch


class _Calls:
    """What other threads want called in a hub.

    The loop's ``run_callback_threadsafe`` does that too, but it counts up what keeps the loop running, while the loop's
    own thread, which needs no GIL for it, may count down: now and then one of the two is lost. A count that is too low
    ends the loop under whoever waits in it (LoopExit). Here only the loop's own thread counts.
    """

    __slots__ = ("_queue", "_watcher")

    def __init__(self) -> None:
        self._queue: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._watcher: Any = None

    def open(self, loop: Any) -> None:
        """Begin to make the calls; in the loop's thread."""
        watcher = loop.async_(ref=False)
        watcher.start(self._run)
        self._watcher = watcher
        self._run()  # what was added before

    def add(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        """Have a function called; in any thread."""
        self._queue.append((function, arguments))
        if self._watcher is not None:
            self._watcher.send()

    def _run(self) -> None:
        try:
            for _ in range(len(self._queue)):
                function, arguments = self._queue.popleft()
                function(*arguments)
        finally:
            if self._queue:
                self._watcher.send()  # the loop has its turn; and who raised does not stop the others


def take_calls(hub: Hub) -> _Calls:
    """Have a hub make the calls of other threads. Its own thread had better ask for it: another one has to do it in the
    way that :class:`_Calls` is there to avoid.
    """
    calls: _Calls | None = getattr(hub, _CALLS_NAME, None)
    if calls is None:
        with _calls_lock:
            calls = getattr(hub, _CALLS_NAME, None)
            if calls is None:
                calls = _Calls()
                if hub.thread_ident == get_ident():
                    calls.open(hub.loop)
                else:
                    hub.loop.run_callback_threadsafe(calls.open, hub.loop)
                setattr(hub, _CALLS_NAME, calls)
    return calls


def call_soon(hub: Hub, function: Callable[..., object], *arguments: Any) -> None:
    """Have a hub call a function, which does not wait. Any thread may ask for it, and does not wait either.

    A hub whose thread has ended calls nothing.
    """
    if not is_abandoned(hub):
        take_calls(hub).add(function, arguments)


def call_in_hub(hub: Hub, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a greenlet of another thread's hub, and wait until it is done.

    A greenlet waits as greenlets do, so that two hubs may call each other: see :class:`~wsdriver.green.waking.Signal`.

    Raises:
        RuntimeError: that thread has ended.
        what the function raises.
    """
    if hub in _parked:
        raise RuntimeError("the program ends, and its connections with it")
    if is_abandoned(hub):
        raise RuntimeError(THREAD_ENDED)
    outcome: list[Any] = [None, None]
    running = False
    done = Signal()

    def run() -> None:
        nonlocal running
        running = True
        try:
            outcome[0] = function(*arguments)
        except BaseException as error:
            outcome[1] = error
        finally:
            done.set()

    call_soon(hub, spawn, run)
    waited = 0
    while not done.wait(PATIENCE):
        if is_abandoned(hub) or hub.thread_ident not in sys._current_frames():
            raise RuntimeError(THREAD_ENDED)
        waited += PATIENCE
        if waited == 10 * PATIENCE and not running:
            log.warning("a call from another thread waits: the connection's own thread does not run its event loop")
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def io_hub() -> Hub:
    """Return the hub that runs in a thread of its own, for connections whose handlers run in threads without one."""
    pid = os.getpid()
    with _io_lock:
        hub = _io_hubs.get(pid)
        if hub is None:
            started = allocate_lock()
            started.acquire()
            start_thread(_run_io_hub, (pid, started))
            started.acquire()
            hub = _io_hubs[pid]
    return hub


def _run_io_hub(pid: int, started: Any) -> None:
    hub = _io_hubs[pid] = get_hub()
    take_calls(hub)
    atexit.register(_park_io_hub, pid, hub)
    # Keeps the loop running while there are no connections.
    hub.loop.async_().start(lambda: None)
    started.release()
    hub.switch()


def _park_io_hub(pid: int, hub: Hub) -> None:
    """Have its thread stand still: the interpreter's end would tear it out of its greenlets, which crashes."""
    if pid != os.getpid():
        return
    parked = allocate_lock()
    parked.acquire()

    def park() -> None:
        _parked.add(hub)
        parked.release()
        forever = allocate_lock()
        forever.acquire()
        forever.acquire()

    call_soon(hub, park)
    parked.acquire(timeout=PATIENCE)


def is_io_hub(hub: Any) -> bool:
    """Tell whether it is one of those that run in a thread of their own."""
    return hub in _io_hubs.values()


def spawn_for(hub: Any, function: Callable[[], object]) -> None:
    """Call a function of the application, from the hub, where it may wait: in a greenlet, or, if handlers are threads,
    in a thread.
    """
    if is_io_hub(hub):
        # In a greenlet: it waits where all threads of the pool are taken.
        spawn(hub.threadpool.spawn, function)
    else:
        spawn(function)
