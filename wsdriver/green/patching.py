"""Monkey-patching, for programs of ours that run somebody's application."""

from __future__ import annotations

__all__ = ["patch"]


def patch() -> None:
    """Have the standard library's sockets, threads and sleeps wait as greenlets do.

    To be called before anything else of this package is loaded that needs gevent.
    """
    from gevent import monkey

    monkey.patch_all()
