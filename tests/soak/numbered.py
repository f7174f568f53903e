"""Streams of numbered messages that both ends know beforehand, so that the one that comes can be judged at once.

A message is made of its stream's name and its number alone: size, kind and content. One of more than a few bytes begins
with both and with its checksum, so that a wrong one says what it is instead: lost, doubled, late, or damaged.
"""

from __future__ import annotations

import random
import zlib
from collections import Counter

__all__ = ["Judge", "Stream", "make"]

_choose = random.Random(6455)

#: What messages are filled with: bytes that do not compress, and text that does, of one to four bytes a letter.
BYTES = _choose.randbytes(1 << 17)
TEXT = "".join(_choose.choices("abcdefghijklmnopqrstuvwxyz \n", k=4000) + _choose.choices("é€😀", k=96)) * 18

#: Sizes, each as often as it stands here: bytes, of text letters.
SIZES = (1, 2, 7, 31, 64, 125, 126, 127, 300, 900, 1024, 2000, 4096, 9000, 20_000, 65_535, 65_536)

#: A message of so many bytes has a head that says what it is.
WITH_HEAD = 64


def make(stream: str, number: int) -> str | bytes:
    """Return a message; str for text."""
    seed = zlib.crc32(b"%s %d" % (stream.encode(), number))
    size = SIZES[seed % len(SIZES)]
    start = seed // 64 % 4096
    is_text = seed // 32 % 2 == 1
    body = TEXT[start : start + size].encode() if is_text else BYTES[start : start + size]
    if size >= WITH_HEAD:
        body = b"%s %d %08x " % (stream.encode(), number, zlib.crc32(body)) + body
    return body.decode() if is_text else body


class Stream:
    """Messages to send.

    Attributes:
        sent: how many there have been.
        size: bytes of them, of text letters.
    """

    def __init__(self, name: str) -> None:
        self.sent = 0
        self.size = 0
        self._name = name

    def next(self) -> str | bytes:
        """Return the next one."""
        message = make(self._name, self.sent)
        self.sent += 1
        self.size += len(message)
        return message


class Judge:
    """Compares what comes with what should come.

    Args:
        *names: of the streams that may come, mixed with each other, each in its own order.
        faults: where what is wrong is counted.

    Attributes:
        counts: how many messages of each stream have come.
    """

    def __init__(self, *names: str, faults: Counter[str]) -> None:
        self.counts = dict.fromkeys(names, 0)
        self._faults = faults

    def check(self, message: str | bytes) -> None:
        """Take the next message."""
        for name, number in self.counts.items():
            if message == make(name, number):
                self.counts[name] = number + 1
                return
        self._faults[self._describe(message)] += 1

    def _describe(self, message: str | bytes) -> str:
        data = message.encode() if isinstance(message, str) else message
        words = data.split(b" ", 3)
        name = words[0].decode("ascii", "replace")
        if name not in self.counts or len(words) < 4 or not words[1].isdigit():
            return "unknown message"
        if b"%08x" % zlib.crc32(words[3]) != words[2] or message != make(name, int(words[1])):
            return "damaged message"
        expected = self.counts[name]
        self.counts[name] = max(expected, int(words[1]) + 1)
        return "message lost" if int(words[1]) > expected else "message doubled or late"
