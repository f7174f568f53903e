"""What is published in these tests, and the account that each client keeps of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gevent

__all__ = ["STAGES", "Ledger", "message_of", "messages"]

#: Names of files for which all publishers wait, and how much of its messages each has published by then.
STAGES = {"begin": 0.0, "go-on": 0.3, "finish": 0.9}


def message_of(publisher: str, number: int, text: bool) -> str | bytes:
    """Return a publisher's message of that number; every other is binary, unless all shall be ``text``."""
    message = f"{publisher}:{number}"
    return message.encode() if number % 2 and not text else message


def messages(order: Mapping[str, Any]) -> Iterator[str | bytes]:
    """Yield a publisher's messages, with a pause after each.

    It waits for the files of STAGES: so what a test stops after the second and starts before the last it has stopped
    in the middle of publishing, on a machine of any speed.

    Args:
        order: as in a query or in JSON: ``publisher`` is its name, ``count`` how many messages it has, ``pause`` the
            seconds between two, ``signals`` the directory of those files, ``text`` not empty where all are text.
    """
    count, pause = int(order["count"]), float(order["pause"])
    stages = {int(count * part): Path(order["signals"], name) for name, part in STAGES.items()}
    for number in range(count):
        if number in stages:
            wait_for(stages[number])
        yield message_of(order["publisher"], number, bool(order["text"]))
        gevent.sleep(pause)


def wait_for(signal: Path) -> None:
    """Sleep until a file is there."""
    while not signal.exists():
        gevent.sleep(0.02)


class Ledger:
    """What one client has got of what all publishers send.

    Each message of a publisher must be the one behind its last, and of the right type. So nothing has come twice, out
    of order or not at all, once there is no fault and nothing missing.

    Args:
        expected: how many messages come of each publisher.
        text: whether all messages are text.

    Attributes:
        missing: how many messages have yet to come.
        faults: what was wrong, in words.
    """

    def __init__(self, expected: Mapping[str, int], text: bool) -> None:
        self.missing = sum(expected.values())
        self.faults: list[str] = []
        self._next = dict.fromkeys(expected, 0)
        self._text = text

    def take(self, message: str | bytes) -> None:
        """Take a message."""
        publisher, _, number = (message if isinstance(message, str) else message.decode()).partition(":")
        due = self._next[publisher]
        if message == message_of(publisher, due, self._text):
            self._next[publisher] = due + 1
            self.missing -= 1
            return
        self.faults.append(f"{message!r} came where number {due} was due")
        if int(number) >= due:
            self._next[publisher] = int(number) + 1
            self.missing -= int(number) + 1 - due
