"""The bytes of ``text/event-stream`` (HTML, server-sent events §9.2.5)."""

from __future__ import annotations

import re

__all__ = ["COMMENT", "serialize_event", "serialize_retry"]

#: A comment without words: keeps the connection in use, and no client sees it.
COMMENT = b":\n\n"

#: All that ends a line there, and no more: ``str.splitlines`` knows others.
_LINE_END = re.compile(r"\r\n|\n|\r")


def serialize_event(data: str, event: str | None = None, id: str | None = None) -> bytes:  # noqa: A002  # its name there
    """Return an event's bytes; lines that end in CRLF, LF or CR reach the client as lines that end in LF.

    Args:
        data: the message.
        event: its type; None for ``message``.
        id: what the client repeats as Last-Event-ID when it comes back; empty to make it forget the last.

    Raises:
        TypeError: a value is no str.
        ValueError: CR, LF or NUL in the event's type or id: the client would read another event.
        UnicodeError: a lone surrogate, which UTF-8 cannot carry.
    """
    lines = []
    for name, value in (("event", event), ("id", id)):
        if value is not None:
            if not isinstance(value, str):
                raise TypeError(f"an event's {name} must be a str, not {type(value).__name__}")
            if any(char in "\r\n\0" for char in value):
                raise ValueError(f"an event's {name} cannot have CR, LF or NUL in it: {value!r}")
            lines.append(f"{name}: {value}\n")
    if not isinstance(data, str):
        raise TypeError(f"an event's data must be a str, not {type(data).__name__}")
    lines.extend(f"data: {line}\n" for line in _LINE_END.split(data))
    lines.append("\n")
    return "".join(lines).encode()


def serialize_retry(seconds: float) -> bytes:
    """Return the bytes that tell a client how long to wait before it comes back."""
    return b"retry: %d\n\n" % round(seconds * 1000)
