"""Open connections with traffic on a hundredth of them at a time: is each message there once, whole and in its turn?"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.process import raise_open_files
from tests.bench.server import ROOT, NotStarted, Running, Server, environment
from tests.support.net import frame, read_frame, read_head, request

__all__ = ["SERVERS", "Load", "NotPossible", "load"]

#: Open files of a process beside its connections.
SPARE_FILES = 200

#: Seconds that the server has to forget those who have gone.
PATIENCE = 20.0

#: Of ten connections, so many are of our own client; the others are of another library.
OURS = 1

SERVERS = {
    "WebSocketServer": Server(
        "WebSocketServer", "WebSocketServer", (sys.executable, "-m", "tests.soak.load_server", "{port}"), ours=True
    ),
    "gunicorn": Server(
        "gunicorn",
        "gunicorn, one worker",
        (
            *(sys.executable, "-m", "gunicorn", "-k", "wsdriver.worker", "--workers", "1", "--no-control-socket"),
            *("--worker-connections", "{connections}", "--bind", "127.0.0.1:{port}", "tests.soak.load_server:app"),
        ),
        ("gunicorn",),
        ours=True,
    ),
}


class NotPossible(Exception):
    """This machine does not allow for it; the message says what."""


@dataclass
class Load:
    """What came of it: one row of the report.

    Attributes:
        title: of the server.
        connections: how many there were at a time, by which library.
        connecting: seconds until all were there.
        seconds: of traffic.
        messages, size: how many messages in all went each way, and how much text and bytes the clients sent.
        before, full, after: figures of the server with no connection, with all, and with none again.
        faults: what was wrong, by how often.
    """

    title: str
    connections: dict[str, int]
    connecting: float = 0.0
    seconds: float = 0.0
    messages: tuple[int, int] = (0, 0)
    size: int = 0
    before: dict[str, Any] = field(default_factory=dict)
    full: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


class Clients:
    """A process of clients."""

    def __init__(self, library: str, port: int, numbers: range, seconds: float, log: Path) -> None:
        command = [sys.executable, "-m", "tests.soak.load_clients", library, port, numbers[0], len(numbers), seconds]
        self.name = f"the clients of {library}"
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=ROOT,
                env=environment(kept_environment()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._log = log

    def expect(self, word: str) -> None:
        """Wait for that line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"{self.name} ended: {self._log.read_text()[-2000:]}")

    def go(self) -> None:
        """Let them go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        """Return what they have found."""
        output, _ = self.process.communicate(timeout=300)
        if self.process.returncode:
            raise RuntimeError(f"{self.name} ended: {self._log.read_text()[-2000:]}")
        found: dict[str, Any] = json.loads(output)
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def load(name: str, connections: int, seconds: float) -> Load:
    """Open so many connections to one of the servers, and have each of them send and receive.

    Raises:
        NotPossible: a process may not open so many files.
    """
    allow_files(connections + SPARE_FILES)
    ours = max(1, connections * OURS // 10)
    groups = {"websockets": range(ours, connections), "wsdriver": range(ours)}
    outcome = Load(SERVERS[name].title, {library: len(numbers) for library, numbers in groups.items()})
    faults: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wsdriver-soak-")))
        running = stack.enter_context(serving(name, connections, folder))
        report(running)  # the first WebSocket: what is made once is there then
        outcome.before = report(running)
        clients = [
            stack.enter_context(contextlib.closing(Clients(library, running.port, numbers, seconds, folder / library)))
            for library, numbers in groups.items()
        ]
        for each in clients:
            each.expect("ready")
        outcome.full = report(running)
        if outcome.full["open"] != connections:
            faults[f"only {outcome.full['open']} connections at a time"] += 1
        for word in ("through", ""):
            for each in clients:
                each.go()
            for each in clients:
                if word:
                    each.expect(word)
        found = [each.result() for each in clients]
        outcome.after = settled(running, outcome.before)
        for each in (*found, outcome.after):
            faults.update(each["faults"])
    outcome.connecting = max(each["connecting"] for each in found)
    outcome.seconds = max(each["seconds"] for each in found)
    outcome.messages = (sum(each["sent"] for each in found), sum(each["received"] for each in found))
    outcome.size = sum(each["sent_size"] for each in found)
    server = outcome.after
    if (server["received"], server["sent"]) != outcome.messages:
        faults[f"the server counts {server['received']} in, {server['sent']} out"] += 1
    if server["used"] != connections or server["opened"] != connections:
        faults[f"{server['opened']} connections came, {server['used']} of them had traffic"] += 1
    for what in ("descriptors", "greenlets", "watchers", "active"):
        if server[what] > outcome.before[what]:
            faults[f"{server[what] - outcome.before[what]} {what} left"] += 1
    if outcome.before["pid"] != server["pid"]:
        faults["the worker was replaced"] += 1
    outcome.faults = [f"{what}: {number}" for what, number in faults.items()]
    return outcome


def allow_files(wanted: int) -> None:
    """Raise the limit of open files, for this process and those that it starts."""
    if raise_open_files(wanted) < wanted:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        raise NotPossible(
            f"a process here may open {hard:,} files, and {wanted:,} are needed: raise the hard limit (ulimit -Hn,"
            " LimitNOFILE=), or ask for fewer with --connections"
        )


@contextlib.contextmanager
def serving(name: str, connections: int, folder: Path) -> Iterator[Running]:
    """Start one of the servers, and end it."""
    server = SERVERS[name]
    command = tuple(part.replace("{connections}", str(connections + 10)) for part in server.command)
    server = Server(name, server.title, command, server.packages, ours=True, env=kept_environment())
    cores = os.sched_getaffinity(0)
    with contextlib.closing(Running(server, folder)) as running:
        os.sched_setaffinity(running.process.pid, cores)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                report(running)
                break
            except OSError:
                if running.process.poll() is not None or time.monotonic() > deadline:
                    raise NotStarted(running.last_words()) from None
                time.sleep(0.05)
        yield running


def kept_environment() -> dict[str, str]:
    """What of our environment a server gets that would not get it else."""
    return {name: os.environ[name] for name in ("WSDRIVER_PURE",) if name in os.environ}


def report(running: Running) -> dict[str, Any]:
    """Ask the server for its figures."""
    with socket.create_connection(("127.0.0.1", running.port), PATIENCE) as sock:
        sock.sendall(request("/report"))
        if not read_head(sock.recv).startswith(b"HTTP/1.1 101 "):
            raise ConnectionError("the server does not report")
        _, payload = read_frame(sock.recv)
        sock.sendall(frame(8, b"\x03\xe8"))
        read_frame(sock.recv)
    figures: dict[str, Any] = json.loads(payload)
    return figures


def settled(running: Running, before: dict[str, Any]) -> dict[str, Any]:
    """Return its figures when nothing is left, or not for too long."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = report(running)
        grown = [what for what in ("descriptors", "greenlets", "watchers") if found[what] > before[what]]
        if not (grown or found["open"]) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
