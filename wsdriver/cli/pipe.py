"""Talking in a pipe: each line of standard input a message, each message a line of standard output."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from time import monotonic

from wsdriver.cli.show import Show, ending
from wsdriver.cli.status import INTERRUPTED, USAGE, Failure
from wsdriver.exceptions import ConnectionClosed
from wsdriver.green.client.apart import receive_some, send_all
from wsdriver.green.client.connecting import ClientWebSocket

__all__ = ["ANSWERED", "QUIET", "lines", "talk"]

#: Without ``--wait``: seconds without a message after which nothing more is waited for, and those where as many have
#: come as were sent. (Not none: the first one may have been a greeting.)
QUIET = 5.0
ANSWERED = 0.2

#: What one read of the input takes.
_BLOCK = 65536


def lines(fd: int) -> Iterator[list[bytes]]:
    """Yield the lines of a file without their ends, as many as are there at a time; also a last one that has no end."""
    # Not by sys.stdin: its lock, held by a thread that waits, would stop the interpreter from ending.
    rest = b""
    while block := os.read(fd, _BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        if whole:
            yield whole
    if rest:
        yield [rest]


def talk(ws: ClientWebSocket, show: Show, *, binary: bool, wait: float | None) -> int:
    """Send the lines, write the messages; returns the exit status.

    Args:
        ws: open.
        show: how messages are written.
        binary: whether lines are sent as binary messages.
        wait: seconds without a message after which it is closed, once the input has ended; None for as many messages
            as there were lines, or for :data:`QUIET` seconds.

    Raises:
        Failure: it did not end well.
    """
    feeder = _Feeder(ws, binary, wait)
    thread = threading.Thread(target=feeder.run, daemon=True)
    thread.start()
    try:
        while messages := receive_some(ws):
            feeder.answered(len(messages))
            if sys.stdout.isatty():
                print(*map(show.message, messages), sep="\n", flush=True)
            else:
                sys.stdout.buffer.write(b"".join([show.raw(message) + b"\n" for message in messages]))
                sys.stdout.buffer.flush()
    except KeyboardInterrupt:
        ws.close()
        return INTERRUPTED
    if feeder.sending:
        thread.join(1)  # it is about to find out that it cannot
    sentence, well = ending(ws)
    if feeder.fault is not None:
        raise feeder.fault
    if not well:
        raise Failure(sentence)
    if feeder.cut:
        raise Failure(f"{sentence}, before all of the input was sent")
    return 0


class _Feeder:
    """Sends the lines of standard input, in a thread of its own; then waits for the answers, and closes.

    Attributes:
        fault: what was wrong with the input.
        cut: whether the connection ended before the input did.
        sending: whether lines are being sent.
    """

    def __init__(self, ws: ClientWebSocket, binary: bool, wait: float | None) -> None:
        self._ws = ws
        self._binary = binary
        self._wait = wait
        self._sent = self._answers = 0
        self._heard = 0.0
        self.fault: Failure | None = None
        self.cut = self.sending = False

    def answered(self, count: int) -> None:
        """Note that messages have come."""
        self._answers += count
        self._heard = monotonic()

    def run(self) -> None:
        try:
            self._feed()
        except RuntimeError:
            pass  # the program ends meanwhile, and its connections with it

    def _feed(self) -> None:
        try:
            for some in lines(0):
                self.sending = True
                send_all(self._ws, self._messages(some))
                self.sending = False
        except ConnectionClosed:
            self.cut = True
            return
        except Failure as fault:
            self.fault = fault
        except OSError as error:
            self.fault = Failure(f"the input cannot be read: {error.strerror}", USAGE)
        self._await_answers()
        self._ws.close()

    def _messages(self, some: list[bytes]) -> Iterator[str | bytes]:
        for line in some:
            try:
                message = line if self._binary else line.decode()
            except UnicodeDecodeError:
                number = self._sent + 1
                raise Failure(f"line {number} of the input is not UTF-8; --binary sends any bytes", USAGE) from None
            self._sent += 1
            yield message

    def _await_answers(self) -> None:
        """Wait until the answers have come, as far as one can tell."""
        self._heard = monotonic()
        while self._ws.state == "open":
            patience = self._wait
            if patience is None:
                patience = ANSWERED if self._answers >= self._sent else QUIET
            left = self._heard + patience - monotonic()
            if left <= 0:
                return
            threading.Event().wait(min(left, 0.05))
