"""A link between two ends that loses packets, delays them, holds them up, and goes down without a word.

``python -m tests.faults.link packets FD FD`` carries packets from one descriptor to the other; ``... stream PORT`` is a
proxy before a server, for machines that let us have no network of our own: it loses nothing, since TCP would not
notice, but delays, holds up, and goes down. Conditions come on stdin, one JSON object per line.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import select
import socket
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

#: What a packet, or a piece of a stream, may be at most.
SIZE = 65536

#: Pieces that may be on their way in a proxy; then the senders have to wait.
WINDOW = 100


class Link:
    """What is on its way, and under which conditions.

    Args:
        ordered: whether nothing may overtake, or be lost.
    """

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._way: list[tuple[float, int, Callable[[bytes], None], bytes]] = []
        self._last: dict[Any, float] = {}
        self._count = 0
        self._random = random.Random(7)
        self._conditions: dict[str, Any] = {"loss": 0, "delay": 0, "jitter": 0, "held": False, "down": False}

    def listen(self) -> bool:
        """Read a line of conditions; False at the end of them all."""
        line = sys.stdin.readline()
        self._conditions.update(json.loads(line or "{}"))
        return bool(line)

    def take(self, data: bytes, deliver: Callable[[bytes], None], way: object) -> None:
        """Take a packet that is to be delivered, on one of the ways."""
        now = self._conditions
        if now["down"] or (not self._ordered and self._random.random() < now["loss"]):
            return
        due = monotonic() + now["delay"] + self._random.uniform(-1, 1) * now["jitter"]
        if self._ordered:
            due = self._last[way] = max(due, self._last.get(way, 0))
        self._count += 1
        heapq.heappush(self._way, (due, self._count, deliver, data))

    def deliver(self) -> float | None:
        """Deliver what is due; return the seconds until more is."""
        if self._conditions["down"]:
            self._way.clear()
        if self._conditions["held"] or not self._way:
            return None
        while self._way and self._way[0][0] <= monotonic():
            _, _, deliver, data = heapq.heappop(self._way)
            deliver(data)
        return max(0.0, self._way[0][0] - monotonic()) if self._way else None

    @property
    def is_full(self) -> bool:
        return self._ordered and len(self._way) > WINDOW

    @property
    def is_down(self) -> bool:
        return bool(self._conditions["down"])


def carry_packets(first: int, second: int) -> None:
    """Carry packets between two cables."""
    link = Link(ordered=False)
    other = {first: second, second: first}

    def writer(cable: int) -> Callable[[bytes], None]:
        def write(packet: bytes) -> None:
            try:
                os.write(cable, packet)
            except OSError:
                pass  # lost, as packets are

        return write

    writers = {cable: writer(cable) for cable in other}
    while True:
        ready, _, _ = select.select([sys.stdin, *other], [], [], link.deliver())
        if sys.stdin in ready and not link.listen():
            return
        for cable in other:
            if cable in ready:
                link.take(os.read(cable, SIZE), writers[other[cable]], cable)


def carry_streams(port: int) -> None:
    """Carry connections to a server. Nothing is ever closed: the ends have to notice by themselves."""
    link = Link(ordered=True)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    other: dict[socket.socket, socket.socket] = {}

    def writer(sock: socket.socket) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            try:
                if data:
                    sock.sendall(data)
                else:
                    sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        return write

    while True:
        seconds = link.deliver()
        sources = [] if link.is_full or link.is_down else list(other)
        ready, _, _ = select.select([sys.stdin, listener, *sources], [], [], seconds)
        if sys.stdin in ready and not link.listen():
            return
        if listener in ready:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", port))
            other.update({near: far, far: near})
        for sock in sources:
            if sock in ready:
                try:
                    data = sock.recv(SIZE)
                except OSError:
                    data = b""
                link.take(data, writer(other[sock]), sock)
                if not data:
                    # What it is to be told still may be.
                    other.pop(sock)


if __name__ == "__main__":
    if sys.argv[1] == "packets":
        carry_packets(int(sys.argv[2]), int(sys.argv[3]))
    else:
        carry_streams(int(sys.argv[2]))
