"""What a connection costs: to have it, and to make it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import ClassVar

from tests.bench import process
from tests.bench.client import Client
from tests.bench.deflated import MESSAGES, DeflatingClient
from tests.bench.measures import Column, NotMeasured, Sample, Settings
from tests.bench.server import Running


@dataclass(frozen=True)
class Memory:
    """Resident memory of the server per open connection that has echoed something."""

    columns: ClassVar[tuple[Column, ...]] = (Column("memory", "KiB per connection", 1), Column("opened", "connections"))
    higher_is_better: ClassVar[bool] = False
    fresh: ClassVar[bool] = True

    connections: int
    quick_connections: int
    deflate: bool = False

    def describe(self, quick: bool) -> str:
        count = self.quick_connections if quick else self.connections
        echoes = "permessage-deflate with both contexts in use" if self.deflate else "after one echo on each"
        return f"growth of the server's resident memory, {count} open connections, {echoes}"

    def __call__(self, running: Running, settings: Settings) -> Sample:
        count = process.may_open(self.quick_connections if settings.quick else self.connections)
        warm_up(running)
        before = process.resident(running.pids)
        clients: list[Client] = []
        with contextlib.ExitStack() as stack:
            try:
                for _ in range(count):
                    client: Client = DeflatingClient(running.port) if self.deflate else running.client()
                    stack.callback(client.sock.close)
                    client.open()
                    client.echo()
                    clients.append(client)
                for _ in range(MESSAGES - 1 if self.deflate else 0):
                    for client in clients:
                        client.send()
                    for client in clients:
                        client.receive()
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


def warm_up(running: Running, connections: int = 50) -> None:
    """Let the server import, compile and allocate what it needs once."""
    for _ in range(connections):
        short_lives(running, 1)
    process.settle(running.pids)


def short_lives(running: Running, count: int) -> None:
    """Take connections through their lives in step: all connect, all shake hands, all echo, all close."""
    clients: list[Client] = []
    try:
        clients.extend(running.client() for _ in range(count))
        for step in (Client.request, Client.accept, Client.send, Client.receive, Client.say_goodbye, Client.wait_end):
            for client in clients:
                step(client)
    finally:
        for client in clients:
            client.sock.close()
