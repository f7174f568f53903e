"""The bytes of ``text/event-stream`` (HTML, server-sent events §9.2.5)."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

__all__ = ["COMMENT", "Event", "EventReader", "serialize_event", "serialize_retry"]

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


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a page gets it.

    Attributes:
        data: the message; its lines end in LF.
        event: its type.
        id: the id of the last event that had one, this one included; empty for none.
    """

    data: str
    event: str = "message"
    id: str = ""


class EventReader:
    """Reads a stream in pieces of any size.

    Attributes:
        last_event_id: what a client repeats when it comes back.
        retry: seconds that it waits before, where the stream has said so, else None.
    """

    __slots__ = ("_data", "_decoder", "_id", "_is_first", "_rest", "_type", "last_event_id", "retry")

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_first = True
        self._rest = ""  # a line that is not whole yet
        self._data: list[str] = []
        self._type = ""
        self._id = ""
        self.last_event_id = ""
        self.retry: float | None = None

    def feed(self, piece: bytes) -> list[Event]:
        """Take a piece; return the events that are whole now."""
        text = self._decoder.decode(piece)
        if self._is_first and text:
            self._is_first = False
            text = text.removeprefix("\ufeff")
        text = self._rest + text
        # A CR at the end may be half of a CRLF.
        held = "\r" if text.endswith("\r") else ""
        *lines, self._rest = _LINE_END.split(text.removesuffix(held))
        self._rest += held
        events = []
        for line in lines:
            if line:
                self._take_field(line)
                continue
            self.last_event_id = self._id
            if self._data:
                events.append(Event("\n".join(self._data), self._type or "message", self._id))
            self._data = []
            self._type = ""
        return events

    def _take_field(self, line: str) -> None:
        name, _, value = line.partition(":")  # of a comment, the name is empty
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value) / 1000
