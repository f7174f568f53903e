"""One message to many."""

from __future__ import annotations

import re
import select
import subprocess
from dataclasses import dataclass
from typing import IO, ClassVar

from tests.bench import process
from tests.bench.load import GRACE
from tests.bench.measures import Column, NotMeasured, Sample, Settings, size_in_words
from tests.bench.server import Running

CONNECT_TIMEOUT = 60.0


@dataclass(frozen=True)
class Broadcast:
    """One message to many connections, and the next when the last of them has received it."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("cpu", "us of server CPU per delivery", 2),
        Column("p50", "ms until the last has it", 1),
        Column("opened", "connections"),
    )
    higher_is_better: ClassVar[bool] = False
    fresh: ClassVar[bool] = False

    size: int
    connections: int
    quick_connections: int
    compressed: bool = False

    def describe(self, quick: bool) -> str:
        count = self.quick_connections if quick else self.connections
        compression = ", permessage-deflate without context takeover" if self.compressed else ""
        return f"one text of {size_in_words(self.size)} to {count} connections{compression}, one after the other"

    def __call__(self, running: Running, settings: Settings) -> Sample:
        count = process.may_open(self.quick_connections if settings.quick else self.connections)
        numbers = [running.port, "/", count, self.size, 1, settings.seconds]
        command = [str(settings.folder / "wsload"), "127.0.0.1", *map(str, numbers), "broadcast"]
        command += ["compressed"] if self.compressed else []
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1) as wsload:
            assert wsload.stdin
            assert wsload.stdout
            assert wsload.stderr
            try:
                line = read_line(wsload.stdout, CONNECT_TIMEOUT)
                if line == "ready":
                    process.settle(running.pids)
                    cpu = process.cpu_time(running.pids)
                    wsload.stdin.write("go\n")
                    line = read_line(wsload.stdout, settings.seconds + GRACE)
                    cpu = process.cpu_time(running.pids) - cpu
            finally:
                wsload.kill()
            result = re.match(r"(\d+) broadcasts  p50 (\d+) us", line)
            if not result:
                raise NotMeasured(f"wsload: {wsload.stderr.read().strip()[-500:] or 'no result in time'}")
        return {"cpu": cpu / (int(result[1]) * count) * 1e6, "p50": int(result[2]) / 1e3, "opened": count}


def read_line(stream: IO[str], timeout: float) -> str:
    """Return a line of another program, which does not write another before it is told to; empty if none comes."""
    ready, _, _ = select.select([stream], [], [], timeout)
    return stream.readline().strip() if ready else ""
