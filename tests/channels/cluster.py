"""Several servers, in several processes each or in one, that share channels through one Redis."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

from tests.channels.processes import ALARM, Single
from tests.support.gunicorn import Gunicorn, Server
from tests.support.wire import until

__all__ = ["Cluster"]

#: A line of ours in the servers' logs: level, process, what it says.
LINE = re.compile(r"^\[(\w+)\] (\d+) wsdriver\S*: (.*)$", re.M)


class Cluster:
    """The servers.

    Args:
        gunicorn: with several workers.
        singles: with one process each.
    """

    def __init__(self, gunicorn: Gunicorn, singles: list[Single]) -> None:
        self.gunicorn = gunicorn
        self.singles = singles
        self.servers: list[Server] = [gunicorn, *singles]
        self.processes = {*gunicorn.workers(), *(single.pid for single in singles)}

    @classmethod
    @contextmanager
    def running(cls, directory: Path, workers: int, singles: int) -> Iterator[Cluster]:
        """Start it, in a context that leaves no process behind. Redis is where CHANNEL_URL says."""
        with ExitStack() as stack:
            gunicorn = stack.enter_context(
                Gunicorn(directory / "gunicorn", "-w", str(workers), application="tests.channels.app:app")
            )
            alone = [stack.enter_context(Single(directory / f"single{n}")) for n in range(singles)]
            until(lambda: len(gunicorn.workers()) == workers, "the workers")
            yield cls(gunicorn, alone)

    def url(self, server: Server, path: str, **query: object) -> str:
        """Return the URL of a server's path."""
        return f"{server.url}{path}?{urlencode(query)}"

    def share(self, clients: int, path: str, **query: object) -> dict[str, int]:
        """Return how many of the clients go to which URL, so that each process has the same number on average."""
        each, rest = divmod(clients, len(self.processes))
        found = {self.url(single, path, **query): each for single in self.singles}
        found[self.url(self.gunicorn, path, **query)] = each * len(self.gunicorn.workers()) + rest
        return found

    def assert_told_of_restarts(self, count: int) -> None:
        """Check that each process has logged each loss of Redis once, and each return; and that nothing went wrong."""
        lines = [line for server in self.servers for line in LINE.findall(server.text())]
        losses = Counter(int(process) for level, process, _ in lines if level == "WARNING")
        returns = Counter(int(process) for level, process, said in lines if level == "INFO" and "Redis" in said)
        # A worker to which the kernel gave no client has nothing to lose; several have.
        linked = losses.keys() | {single.pid for single in self.singles}
        expected = Counter(dict.fromkeys(linked, count))
        assert losses == expected, lines
        assert returns == expected, lines
        assert linked <= self.processes
        assert count == 0 or len(linked) >= len(self.singles) + 2
        self.assert_no_alarm()

    def assert_no_alarm(self) -> None:
        """Check that nothing in the logs says that something went wrong."""
        for server in self.servers:
            assert not ALARM.search(server.text()), server.text()

    def stop(self) -> None:
        """Stop all servers as their administrator does: they end, and have nothing to complain of."""
        for server in self.servers:
            server.signal(signal.SIGTERM)
        self.gunicorn.assert_gone(10)
        for single in self.singles:
            single.assert_ends()
        self.assert_no_alarm()
