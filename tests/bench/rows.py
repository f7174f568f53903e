"""The rows of the benchmark: what is measured, on which servers, and what wsdriver is to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.bench.measures import Broadcast, Connect, IdleMemory, Load, Measure
from tests.bench.server import BROADCASTERS, COMPRESSING_BROADCASTERS, SERVERS, Server

PEERS = ("raw-gevent", "gevent-websocket", "websockets-asyncio", "websockets-sync", "aiohttp", "picows", "node-ws")


@dataclass(frozen=True)
class Target:
    """A bound on `ours`: a ratio to a peer, or a plain number when there is none.

    It is a floor where higher is better and a ceiling where lower is better.
    """

    bound: float
    peer: str | None = None
    ours: str = "wsdriver"


@dataclass(frozen=True)
class Row:
    """One row of the benchmark: its servers by name, and the table they are in."""

    name: str
    measure: Measure
    targets: tuple[Target, ...]
    servers: tuple[str, ...] = ("wsdriver", *PEERS)
    table: Mapping[str, Server] = field(default_factory=lambda: SERVERS)


def broadcast(name: str, size: int, *more: str, compressed: bool = False) -> Row:
    """Return a row of broadcasts of that size; `more` servers are those that not every such row has."""
    return Row(
        f"broadcast-{name}",
        Broadcast(size, 5000, quick_connections=1000, compressed=compressed),
        (Target(1.0, "raw-gevent"),),
        ("wsdriver", "raw-gevent", "websockets-asyncio", "node-ws", *more),
        COMPRESSING_BROADCASTERS if compressed else BROADCASTERS,
    )


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            "small",
            Load("text", 32, connections=64, depth=1),
            (
                Target(1.35, "raw-gevent"),
                Target(2.0, "gevent-websocket"),
                Target(1.1, "node-ws"),
                Target(0.95, "wsdriver", ours="wsdriver-gunicorn"),
                Target(0.9, "raw-gevent", ours="wsdriver-pure"),
            ),
            ("wsdriver", "wsdriver-gunicorn", "wsdriver-pure", *PEERS),
        ),
        Row(
            "pipelined",
            Load("text", 32, connections=16, depth=64),
            (Target(8, "picows"), Target(10, "node-ws")),
        ),
        Row("medium", Load("text", 4 << 10, connections=32, depth=1), (Target(1.2, "raw-gevent"),)),
        Row(
            "large-binary",
            Load("bin", 64 << 10, connections=8, depth=2),
            (Target(1.0, "aiohttp"), Target(20, "gevent-websocket", ours="wsdriver-pure")),
            ("wsdriver", "wsdriver-pure", *PEERS),
        ),
        Row("large-text", Load("text", 64 << 10, connections=8, depth=2), (Target(1.0, "aiohttp"),)),
        Row("huge", Load("bin", 1 << 20, connections=4, depth=1), (Target(0.9, "picows"),)),
        Row(
            "idle-memory",
            IdleMemory(5000, quick_connections=1000),
            (Target(12),),
            ("wsdriver", "raw-gevent", "gevent-websocket", "picows", "node-ws"),
        ),
        Row("connect", Connect(2000, at_once=16), (Target(110),)),
        broadcast("small", 32, "wsdriver-pure", "gevent-websocket", "picows"),
        broadcast("medium", 1 << 10, "gevent-websocket", "picows"),
        broadcast("large", 64 << 10, "gevent-websocket", "picows"),
        broadcast("compressed", 1 << 10, compressed=True),
    )
}
