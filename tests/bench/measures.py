"""What a measure is: it takes a running server and returns one sample, a number per column."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from tests.bench.server import Running

Sample = dict[str, float]


class NotMeasured(Exception):
    """A server could not take the load."""


@dataclass(frozen=True)
class Column:
    """One number of a sample: its name, its unit for the heading, and the digits that mean something."""

    name: str
    unit: str
    digits: int = 0


@dataclass(frozen=True)
class Settings:
    """How long and how often to measure, and the folder of the load generator and what else is made for this run."""

    runs: int
    judged_runs: int  # of the servers that a target is about
    seconds: float
    quick: bool
    folder: Path


class Measure(Protocol):
    """A kind of measure, with its numbers filled in. The first column is the one that is compared."""

    columns: ClassVar[tuple[Column, ...]]
    higher_is_better: ClassVar[bool]
    fresh: ClassVar[bool]
    """Whether every run needs a server that has done nothing yet."""

    def describe(self, quick: bool) -> str:
        """Say in a few words what is done."""
        ...

    def __call__(self, running: Running, settings: Settings) -> Sample:
        """Measure once; raise NotMeasured when it fails."""
        ...


def size_in_words(size: int) -> str:
    """Return 65536 as 64 KiB."""
    for unit, scale in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale and size % scale == 0:
            return f"{size // scale} {unit}"
    return f"{size} B"
