"""Choices and bytes out of one input."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["Input", "segmentations"]

T = TypeVar("T")


class Input:
    """Reads an input from its begin: a byte for each choice, then the rest. What is missing is zero."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """Return the next byte."""
        at, self._at = self._at, self._at + 1
        return self._data[at] if at < len(self._data) else 0

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of several, as the next byte has it."""
        return choices[self.byte() % len(choices)]

    def take(self, count: int) -> bytes:
        """Return up to so many bytes."""
        at, self._at = self._at, self._at + count
        return self._data[at : self._at]

    def rest(self) -> bytes:
        """Return all that is left."""
        return self._data[self._at :]

    def __bool__(self) -> bool:
        return self._at < len(self._data)


#: Bytes up to which an input is also given byte by byte.
SINGLE = 600


def segmentations(data: bytes, seed: int) -> Iterator[list[bytes]]:
    """Yield two ways to give bytes: whole; and, as the seed has it, one by one or in pieces of any size."""
    yield [data]
    if seed % 2:
        step = 1 if len(data) <= SINGLE else len(data) // SINGLE + 1
        yield [data[at : at + step] for at in range(0, len(data), step)]
        return
    rng = random.Random(seed)
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 8)))
    yield [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
