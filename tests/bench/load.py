"""Echo under load: how many messages a server answers, and what they cost it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tests.bench.deflated import payload_file
from tests.bench.measures import Column, NotMeasured, Sample, Settings, size_in_words
from tests.bench.server import ROOT, Running, certificates

GRACE = 20.0

RATE = Column("rate", "msg/s")
THROUGHPUT = Column("throughput", "MB/s", 1)
CPU = Column("cpu", "CPU us/msg", 1)
P50 = Column("p50", "p50 us")
P99 = Column("p99", "p99 us")


def build_wsload(folder: Path) -> Path:
    """Compile the load generator."""
    program = folder / "wsload"
    source = Path(__file__).with_name("wsload.c")
    subprocess.run(["cc", "-O2", "-w", "-o", str(program), str(source)], check=True, timeout=120)
    return program


def put_under_load(command: list[str], seconds: float) -> Sample:
    """Run a load generator that was told the server's processes; return what it prints."""
    try:
        limit = seconds + GRACE
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        raise NotMeasured("the load generator did not end: the server stopped answering") from None
    if done.returncode:
        raise NotMeasured(f"the load generator: {done.stderr.strip()[-500:] or 'no result'}")
    numbers = re.fullmatch(
        r"(\d+) msg/s  ([\d.]+) MB/s  p50 ([\d.]+) us  p99 ([\d.]+) us  max \d+ us  cpu ([\d.]+) us\n", done.stdout
    )
    if not numbers:
        raise NotMeasured("not one message came back in time")
    rate, throughput, p50, p99, cpu = map(float, numbers.groups())
    return {"rate": rate, "throughput": throughput, "cpu": cpu, "p50": p50, "p99": p99}


@dataclass(frozen=True)
class Load:
    """Every connection keeps `depth` messages in flight."""

    columns: ClassVar[tuple[Column, ...]] = (RATE, THROUGHPUT, CPU, P50, P99)
    higher_is_better: ClassVar[bool] = True
    fresh: ClassVar[bool] = False

    kind: str
    size: int
    connections: int
    depth: int
    deflate: bool = False

    def describe(self, quick: bool) -> str:
        kind = {"text": "text", "bin": "binary"}[self.kind]
        kind += " of JSON, permessage-deflate" if self.deflate else ""
        connections = "1 connection" if self.connections == 1 else f"{self.connections} connections"
        return f"echo, {size_in_words(self.size)} {kind}, {connections}, {self.depth} in flight on each"

    def arguments(self, running: Running, settings: Settings) -> list[str]:
        """Return what both load generators are told."""
        numbers = [running.port, "/", self.connections, self.size, self.depth, settings.seconds]
        return ["127.0.0.1", *map(str, numbers), self.kind]

    def __call__(self, running: Running, settings: Settings) -> Sample:
        command = [str(settings.folder / "wsload"), *self.arguments(running, settings)]
        command += ["raw"] if running.server.raw else []
        command += ["deflate", str(payload_file(settings.folder))] if self.deflate else []
        command += [word for pid in running.pids for word in ("cpu", str(pid))]
        return put_under_load(command, settings.seconds)


@dataclass(frozen=True)
class Latency(Load):
    """The same, but the round trip is what counts."""

    columns: ClassVar[tuple[Column, ...]] = (Column("p50", "p50 us", 1), Column("p99", "p99 us", 1), RATE, CPU)
    higher_is_better: ClassVar[bool] = False


@dataclass(frozen=True)
class TlsLoad(Load):
    """The same over TLS; its load generator may be the slower side, so what counts is the server's processor time."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("per_cpu", "msg per s of server CPU"),
        CPU,
        RATE,
        P50,
        P99,
        Column("busy", "server busy %"),
    )

    def describe(self, quick: bool) -> str:
        return f"{super().describe(quick)}, over TLS"

    def __call__(self, running: Running, settings: Settings) -> Sample:
        command = [sys.executable, "-m", "tests.bench.tls_load", *self.arguments(running, settings)]
        command += [str(certificates(settings.folder).authority), *map(str, running.pids)]
        sample = put_under_load(command, settings.seconds)
        return {**sample, "per_cpu": 1e6 / sample["cpu"], "busy": sample["cpu"] * sample["rate"] / 1e4}
