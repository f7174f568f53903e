"""What is sent: the same bytes in every language, so that each end can check them alone. ``payload.js`` is its twin."""

from __future__ import annotations

from hashlib import sha256

ALPHABET = "aé€😀"  # one, two, three and four bytes of UTF-8


def binary(size: int) -> bytes:
    """Return that many bytes; no two sizes begin alike, and the period fits no power of two."""
    period = bytes((31 * i + size) % 251 for i in range(251))
    return (period * (size // 251 + 1))[:size]


def text(size: int) -> str:
    """Return a text of that many bytes of UTF-8."""
    return ALPHABET * (size // 10) + "x" * (size % 10)


def digest(message: str | bytes) -> str:
    """Return what names a message that is too long to show."""
    return sha256(message.encode() if isinstance(message, str) else message).hexdigest()
