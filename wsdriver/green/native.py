"""The system's threads and locks, also where gevent has patched the names: there they mean greenlets and theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.monkey import get_original

__all__ = ["allocate_lock", "start_thread"]

allocate_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")
start_thread: Callable[..., Any] = get_original("_thread", "start_new_thread")
