"""Exit statuses, and the error that ends a command with one."""

from __future__ import annotations

__all__ = ["BROKEN_PIPE", "FAILED", "INTERRUPTED", "USAGE", "Failure"]

#: A connection failed, or ended otherwise than it should.
FAILED = 1

#: The command was given something that it cannot take; what argparse uses.
USAGE = 2

#: Ctrl-C, and SIGPIPE: as a shell says it of programs that die of them.
INTERRUPTED = 130
BROKEN_PIPE = 141


class Failure(Exception):
    """Ends the command: the sentence goes to standard error.

    Attributes:
        status: the exit status.
    """

    def __init__(self, sentence: str, status: int = FAILED) -> None:
        super().__init__(sentence)
        self.status = status
