"""Masking keys (RFC 6455 §5.3 and §10.3): from the system's strong source, drawn in bulk."""

from __future__ import annotations

import os
import secrets

__all__ = ["masking_key"]

#: Where randomness comes from; tests pin it.
random_bytes = secrets.token_bytes

_POOL_SIZE = 4096
_pool = b""
_position = 0


def masking_key() -> bytes:
    """Return 4 bytes that nobody can predict, and that no other frame has.

    They are drawn in bulk: a system call for each frame costs more than framing it.
    """
    global _pool, _position
    position = _position
    if position >= len(_pool):
        _pool = random_bytes(_POOL_SIZE)
        position = 0
    _position = position + 4
    return _pool[position : position + 4]


def _forget() -> None:
    """Drop the pool: a forked child must not use the keys of its parent."""
    global _pool, _position
    _pool = b""
    _position = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
