"""What is measured: each kind of measure takes a running server and returns one sample, a number per column."""

from __future__ import annotations

import contextlib
import re
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar, Protocol

from tests.bench import process
from tests.bench.client import Client
from tests.bench.server import Running

Sample = dict[str, float]
SPARE_FILES = 100
GRACE = 20.0
CONNECT_TIMEOUT = 30.0


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
    """How long and how often to measure."""

    runs: int
    seconds: float
    quick: bool
    wsload: Path


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


def build_wsload(folder: Path) -> Path:
    """Compile the load generator."""
    program = folder / "wsload"
    source = Path(__file__).with_name("wsload.c")
    subprocess.run(["cc", "-O2", "-w", "-o", str(program), str(source)], check=True, timeout=120)
    return program


@dataclass(frozen=True)
class Load:
    """Echo under load: every connection keeps `depth` messages in flight."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("rate", "msg/s"),
        Column("throughput", "MB/s", 1),
        Column("p50", "p50 us"),
        Column("p99", "p99 us"),
    )
    higher_is_better: ClassVar[bool] = True
    fresh: ClassVar[bool] = False

    kind: str
    size: int
    connections: int
    depth: int

    def describe(self, quick: bool) -> str:
        kind = {"text": "text", "bin": "binary"}[self.kind]
        return (
            f"echo, {size_in_words(self.size)} {kind}, {self.connections} connections, {self.depth} in flight on each"
        )

    def __call__(self, running: Running, settings: Settings) -> Sample:
        numbers = [running.port, "/", self.connections, self.size, self.depth, settings.seconds, self.kind]
        command = [str(settings.wsload), "127.0.0.1", *map(str, numbers), *(["raw"] if running.server.raw else [])]
        try:
            limit = settings.seconds + GRACE
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            raise NotMeasured("the load generator did not end: the server stopped answering") from None
        line = re.match(r"(\d+) msg/s  ([\d.]+) MB/s  p50 (\d+) us  p99 (\d+) us", done.stdout)
        if done.returncode or not line:
            raise NotMeasured(f"wsload: {done.stderr.strip()[-500:] or 'no result'}")
        if not float(line[1]):
            raise NotMeasured("not one message came back")
        return dict(zip((column.name for column in self.columns), map(float, line.groups()), strict=True))


@dataclass(frozen=True)
class IdleMemory:
    """Resident memory of the server per open connection that has echoed one message."""

    columns: ClassVar[tuple[Column, ...]] = (Column("memory", "KiB per connection", 1), Column("opened", "connections"))
    higher_is_better: ClassVar[bool] = False
    fresh: ClassVar[bool] = True

    connections: int
    quick_connections: int

    def describe(self, quick: bool) -> str:
        count = self.quick_connections if quick else self.connections
        return f"growth of the server's resident memory, {count} open connections after one echo on each"

    def __call__(self, running: Running, settings: Settings) -> Sample:
        wanted = self.quick_connections if settings.quick else self.connections
        count = min(wanted, process.raise_open_files(wanted + SPARE_FILES) - SPARE_FILES)
        warm_up(running)
        before = process.resident(running.pids)
        with contextlib.ExitStack() as stack:
            try:
                for _ in range(count):
                    client = Client(running.port, running.server.raw)
                    stack.callback(client.sock.close)
                    client.open()
                    client.echo()
            except OSError as exc:
                raise NotMeasured(str(exc)) from None
            process.settle(running.pids)
            grown = process.resident(running.pids) - before
        return {"memory": grown / count, "opened": count}


@dataclass(frozen=True)
class Connect:
    """Processor time of the server for a whole short connection: connect, handshake, one echo, close."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("cpu", "us of server CPU", 1),
        Column("wall", "us from connect to end", 1),
    )
    higher_is_better: ClassVar[bool] = False
    fresh: ClassVar[bool] = False

    connections: int
    at_once: int

    def describe(self, quick: bool) -> str:
        return f"connect, handshake, one 32 B echo and close, {self.connections} connections, {self.at_once} at once"

    def __call__(self, running: Running, settings: Settings) -> Sample:
        warm_up(running)
        pids = running.pids
        cpu, start = process.cpu_time(pids), time.perf_counter()
        try:
            for _ in range(self.connections // self.at_once):
                short_lives(running, self.at_once)
        except OSError as exc:
            raise NotMeasured(str(exc)) from None
        wall = time.perf_counter() - start
        process.settle(pids)
        cpu = process.cpu_time(pids) - cpu
        return {"cpu": cpu / self.connections * 1e6, "wall": wall / self.connections * 1e6}


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
        wanted = self.quick_connections if settings.quick else self.connections
        count = min(wanted, process.raise_open_files(wanted + SPARE_FILES) - SPARE_FILES)
        numbers = [running.port, "/", count, self.size, 1, settings.seconds]
        command = [str(settings.wsload), "127.0.0.1", *map(str, numbers), "broadcast"]
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


def warm_up(running: Running, connections: int = 50) -> None:
    """Let the server import, compile and allocate what it needs once."""
    for _ in range(connections):
        short_lives(running, 1)
    process.settle(running.pids)


def short_lives(running: Running, count: int) -> None:
    """Take connections through their lives in step: all connect, all shake hands, all echo, all close."""
    clients: list[Client] = []
    try:
        clients.extend(Client(running.port, running.server.raw) for _ in range(count))
        for step in (Client.request, Client.accept, Client.send, Client.receive, Client.say_goodbye, Client.wait_end):
            for client in clients:
                step(client)
    finally:
        for client in clients:
            client.sock.close()
