"""What is there now: descriptors, greenlets, watchers, and all objects that the garbage collector knows, by type."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable

import gevent
import greenlet

from tests.bench.process import resident

#: Modules whose objects the looking itself makes (abstract base classes keep weak references to types they have seen);
#: and struct, which keeps each format that a peer of these tests has used.
OF_THE_LOOKING = ("_struct", "builtins", "collections", "tracemalloc", "weakref")


def is_watcher(kind: type) -> bool:
    """Whether a type is one of gevent's watchers, of libev or of libuv."""
    return any(base.__name__ == "watcher" and base.__module__.startswith("gevent.") for base in kind.__mro__)


def census() -> Counter[str]:
    """Count; what is not there has 0. What looking makes itself is left out: see `count_objects`."""
    gc.collect()
    counts: Counter[str] = Counter()
    for kind, number in Counter(map(type, gc.get_objects())).items():
        if kind.__module__ not in OF_THE_LOOKING:
            counts[f"{kind.__module__}.{kind.__qualname__}"] += number
        if issubclass(kind, greenlet.greenlet):
            counts["greenlets"] += number
        elif is_watcher(kind):
            counts["watchers"] += number
    loop = gevent.get_hub().loop
    counts["descriptors"] = len(os.listdir("/proc/self/fd"))
    counts["threads"] = threading.active_count()
    counts["active"] = loop.activecnt
    counts["pending"] = loop.pendingcnt
    return counts


def count_objects() -> int:
    """All objects that the garbage collector knows."""
    gc.collect()
    return len(gc.get_objects())


def resident_mib() -> float:
    """The resident memory of this process, when what is free has been given back as far as can be."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc's
        trim(0)
    return resident([os.getpid()]) / 1024


def traced_growth(run: Callable[[], object]) -> tuple[int, list[str]]:
    """Call something twice; return by how many bytes the second call left more than the first, and where most."""
    tracemalloc.start()
    try:
        run()
        gc.collect()
        first = tracemalloc.take_snapshot()
        run()
        gc.collect()
        second = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    own = [tracemalloc.Filter(False, tracemalloc.__file__), tracemalloc.Filter(False, __file__)]
    grown = second.filter_traces(own).compare_to(first.filter_traces(own), "lineno")
    total = sum(line.size_diff for line in grown)
    return total, [f"{line.size_diff:+} B, {line.count_diff:+} blocks: {line.traceback}" for line in grown[:5]]
