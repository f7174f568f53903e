"""Where in a channel a reader is: the id of a message, as it goes to a client and comes back in Last-Event-ID.

A message that a channel keeps has an id of Redis' form, ``1700000000000-3``; in-process too. While Redis is away, the
messages of this process are delivered ahead of the stream, where they have no id yet: a position is the stream's last
id then, and who published how far beyond it, ``1700000000000-3~a1b2c3:17``. What is replayed after it leaves those out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["START", "Entry", "Id", "Position"]

#: A message's place in the stream: milliseconds, and a number among those of the same.
Id = tuple[int, int]

START: Id = (0, 0)

#: Publishers that one position may name. (It comes from a browser's header.)
MAX_AHEAD = 8

_FORM = re.compile(rf"(\d{{1,20}})(?:-(\d{{1,20}}))?((?:~[0-9a-z]{{1,32}}:\d{{1,18}}){{0,{MAX_AHEAD}}})", re.ASCII)

#: What Redis can count in an id, and one beyond it is an id too.
_MOST = 2**64 - 2


class Entry(NamedTuple):
    """A message on its way.

    Attributes:
        message: as published.
        id: its place in the stream; None where it has none, or none yet.
        publisher, number: who published it, and its number among those of that publisher; ``""`` in-process.
        position: of a reader that has all up to this one; None where nothing is kept.
    """

    message: str | bytes
    id: Id | None
    publisher: str
    number: int
    position: Position | None


@dataclass(frozen=True)
class Position:
    """Has everything up to ``id``, and of each publisher in ``ahead`` everything up to a number."""

    id: Id
    ahead: tuple[tuple[str, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read what :meth:`__str__` wrote, or a bare id of a Redis stream, or ``"0"``: the beginning.

        Raises:
            ValueError: it is neither.
        """
        match = _FORM.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(
                f"{text!r} is no id of a message: it is like '1700000000000-0', or '0' for all that is kept"
            )
        id_ = int(match[1]), int(match[2] or 0)
        if max(id_) > _MOST:
            raise ValueError(f"{text!r} is beyond any id of a message")
        pairs = (part.split(":") for part in match[3].split("~")[1:])
        return cls(id_, tuple((publisher, int(number)) for publisher, number in pairs))

    def __str__(self) -> str:
        return f"{self.id[0]}-{self.id[1]}" + "".join(f"~{publisher}:{number}" for publisher, number in self.ahead)

    def has(self, entry: Entry) -> bool:
        """Tell whether a reader that is here has had that message."""
        if entry.id is not None and entry.id <= self.id:
            return True
        return any(publisher == entry.publisher and entry.number <= number for publisher, number in self.ahead)

    def with_ahead(self, more: tuple[tuple[str, int], ...]) -> Position:
        """Return it with these publishers too, each as far as either says."""
        if not more:
            return self
        ahead = dict(self.ahead)
        for publisher, number in more:
            ahead[publisher] = max(number, ahead.get(publisher, 0))
        return Position(self.id, tuple(ahead.items())[-MAX_AHEAD:])
