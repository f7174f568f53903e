"""Ctrl-C in a program whose main greenlet waits."""

from __future__ import annotations

from gevent import get_hub

__all__ = ["be_quiet_about_interrupts"]


def be_quiet_about_interrupts() -> None:
    """Have gevent write no note on standard error when Ctrl-C raises KeyboardInterrupt in this thread."""
    hub = get_hub()
    if KeyboardInterrupt not in hub.NOT_ERROR:
        hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)
