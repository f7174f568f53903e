"""Client libraries: round trips of one connection, in a script of the library's own style, to a fast server."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

from tests.bench.measures import Column, NotMeasured, Sample, Settings, size_in_words
from tests.bench.server import ROOT, Running, environment

GRACE = 20.0


@dataclass(frozen=True)
class RoundTrips:
    """A script sends a message, takes its echo, and does that again.

    Most of a round trip's time is two cores waking each other, for every client alike: what counts is the client's own.
    """

    columns: ClassVar[tuple[Column, ...]] = (
        Column("per_cpu", "round trips per s of client CPU"),
        Column("cpu", "CPU us/round trip", 1),
        Column("rate", "round trips/s"),
    )
    higher_is_better: ClassVar[bool] = True
    fresh: ClassVar[bool] = False

    size: int

    def describe(self, quick: bool) -> str:
        return f"client: round trips of {size_in_words(self.size)}, one connection, one in flight"

    def __call__(self, running: Running, settings: Settings) -> Sample:
        script = f"tests/bench/clients/{running.server.client}"
        arguments = [f"ws://127.0.0.1:{running.port}/", str(self.size), str(settings.seconds)]
        try:
            done = subprocess.run(
                [sys.executable, script, *arguments],
                cwd=ROOT,
                env=environment(running.server.env),
                capture_output=True,
                text=True,
                timeout=settings.seconds + GRACE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NotMeasured("the client did not end") from None
        line = re.fullmatch(r"(\d+) round trips/s  ([\d.]+) us CPU\n", done.stdout)
        if done.returncode or not line:
            raise NotMeasured(f"the client: {(done.stderr.strip() or 'no result').splitlines()[-1]}")
        rate, cpu = map(float, line.groups())
        return {"per_cpu": 1e6 / cpu, "cpu": cpu, "rate": rate}
