"""The loop that all clients share: a message out, its echo in, and the next; one line of figures at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

#: Up to here messages are text, as chats and commands are; larger ones are binary.
MAX_TEXT = 1024

WARM_UP = 0.3


def arguments() -> tuple[str, int, float]:
    """Return what the command line says: URL SIZE SECONDS."""
    url, size, seconds = sys.argv[1:]
    return url, int(size), float(seconds)


def message_of(size: int) -> str | bytes:
    """Return a message of that many bytes."""
    if size <= MAX_TEXT:
        return ("abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size]
    return bytes((i * 31 + 7) & 255 for i in range(size))


def run(message: str | bytes, seconds: float, send: Callable[[Any], object], receive: Callable[[], Any]) -> None:
    """Do round trips, and print how many there were in a second and what processor time each took of this process."""
    _round_trips(message, WARM_UP, send, receive)
    began, cpu = time.perf_counter(), time.process_time()
    count = _round_trips(message, seconds, send, receive)
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    if (echo := receive_one(message, send, receive)) != message:
        raise ValueError(f"not an echo: {echo!r:.100}")
    print(f"{count / took:.0f} round trips/s  {cpu / count * 1e6:.2f} us CPU")


def receive_one(message: str | bytes, send: Callable[[Any], object], receive: Callable[[], Any]) -> Any:
    """Do one round trip, and return what came."""
    send(message)
    return receive()


def _round_trips(
    message: str | bytes, seconds: float, send: Callable[[Any], object], receive: Callable[[], Any]
) -> int:
    count = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(20):
            send(message)
            receive()
        count += 20
    return count
