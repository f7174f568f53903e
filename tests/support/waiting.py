"""Waiting for what greenlets, or other processes, bring about."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent

__all__ = ["wait_for"]

PATIENCE = 20.0


def wait_for(condition: Callable[[], Any], what: str = "it") -> Any:
    """Let the hub go on until a condition is true; returns its value."""
    deadline = monotonic() + PATIENCE
    while not (value := condition()):
        assert monotonic() < deadline, f"{what} has not come about"
        gevent.sleep(0.005)
    return value
