"""All that publish to one channel, in all the ways there are, and all that get it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import wsdriver
from tests.channels import clients, job, returning
from tests.channels.cluster import Cluster
from tests.channels.messages import STAGES
from tests.channels.processes import PATIENCE, Members, Program
from tests.support.wire import until

__all__ = ["Exchange"]


class Exchange:
    """A channel, its clients in processes of their own, and its publishers.

    Those are four of the clients, whose servers publish what they send; servers by themselves, gunicorn at two
    requests; and two programs that serve nobody.

    Args:
        directory: for the programs' files.
        cluster: the servers.
        history: of the channel.
        clients: how many there are.
        messages: how many are published; each publisher has as many.
        pause: seconds between two of one publisher.
        text: whether all are text.
    """

    def __init__(
        self,
        directory: Path,
        cluster: Cluster,
        *,
        history: int,
        clients: int,
        messages: int,
        pause: float = 0,
        text: bool = False,
    ) -> None:
        self._directory = directory
        self._cluster = cluster
        self._channel = {"channel": directory.name, "history": history}
        self._signals = directory / "signals"
        self._signals.mkdir()
        self._senders = [f"client{n}" for n in range(4)]
        self._servers = {f"server{n}": server for n, server in enumerate([cluster.gunicorn, *cluster.servers])}
        self._jobs = [f"job{n}" for n in range(2)]
        publishers = [*self._senders, *self._servers, *self._jobs]
        self._count = messages // len(publishers)
        self._pause = pause
        self._text = text
        self._expected = dict.fromkeys(publishers, self._count)
        self._due = 0
        self._stack = ExitStack()
        self._members: list[Members] = []
        try:
            self._join(clients // 2, self._senders[:2])
            self._join(clients // 2, self._senders[2:])
            self._connections = [self._ask(name) for name in self._servers]
            self._programs = [self._run(name) for name in self._jobs]
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Exchange:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _order(self, publisher: str) -> dict[str, Any]:
        return {
            **self._channel,
            "publisher": publisher,
            "count": self._count,
            "pause": self._pause,
            "signals": str(self._signals),
            "text": "yes" if self._text else "",
        }

    def _ask(self, publisher: str) -> wsdriver.WebSocket:
        """Have a server publish."""
        url = self._cluster.url(self._servers[publisher], "/publish", **self._order(publisher))
        return self._stack.enter_context(wsdriver.connect(url))

    def _run(self, publisher: str) -> Program:
        """Start a program that publishes."""
        program = self._stack.enter_context(Program(self._directory / publisher))
        program.run(job.STARTED, job.__name__, self._order(publisher))
        return program

    def _join(self, count: int, senders: list[str]) -> None:
        urls = self._cluster.share(count, "/join", **self._channel)
        self._start(clients.__name__, count, urls=urls, orders=[self._order(name) for name in senders])

    def come_and_go(self, websockets: int, eventsources: int) -> None:
        """Start clients that go away again and again, and come back to any of the servers."""
        urls = [self._cluster.url(server, "/rejoin", **self._channel) for server in self._cluster.servers]
        events = self._cluster.url(self._cluster.gunicorn, "/events", **self._channel)
        count = websockets + eventsources
        self._start(
            returning.__name__, count, urls=urls, websockets=websockets, events=events, eventsources=eventsources
        )

    def _start(self, module: str, count: int, **plan: object) -> None:
        members = self._stack.enter_context(Members(self._directory / f"clients{len(self._members)}"))
        members.run(clients.READY, module, {"expected": self._expected, "text": self._text, **plan})
        self._members.append(members)
        self._due += count * sum(self._expected.values())

    def let(self, stage: str) -> None:
        """Let all publishers do what comes behind this one of STAGES."""
        (self._signals / stage).touch()

    def wait_for(self, part: float) -> None:
        """Wait until this part of all messages has come."""

        def has_come() -> bool:
            for members in self._members:
                assert not members.has_ended, members.text()
            missing = [members.missing for members in self._members]
            return None not in missing and sum(filter(None, missing)) <= self._due * (1 - part)

        until(has_come, f"{part:.0%} of the messages", PATIENCE)

    @property
    def refusals(self) -> list[int]:
        """How often Redis was away when a program published, for each; once they are done."""
        return [int(count) for program in self._programs for count in re.findall(f"{job.DONE} (\\d+)", program.text())]

    def finish(self) -> None:
        """Let them publish all that is left. Check that each client gets each message, once and in order."""
        for stage in STAGES:
            self.let(stage)
        for connection in self._connections:
            assert connection.receive(timeout=PATIENCE) == "done"
        for program in self._programs:
            program.wait_until_said(job.DONE)
            program.assert_ends()
        for members in self._members:
            members.wait_until_said(clients.COMPLETE)
        # What came twice has been counted as wrong if it came before this.
        with wsdriver.connect(self._cluster.url(self._cluster.gunicorn, "/join", **self._channel)) as ws:
            ws.receive()  # that it is a member
            ws.send(clients.OVER)
            for members in self._members:
                members.assert_ends()
