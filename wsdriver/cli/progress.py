"""A bar on standard error while something takes its time; nothing where that is no terminal."""

from __future__ import annotations

import shutil
import sys

__all__ = ["Progress"]

WIDTH = 30


class Progress:
    """One line that is written again and again, and wiped in the end."""

    def __init__(self, wanted: bool = True) -> None:
        self._stream = sys.stderr
        self._shown = wanted and self._stream.isatty()

    def show(self, share: float, text: str) -> None:
        """Show how much is done, from 0 to 1, and what there is to say."""
        if not self._shown:
            return
        done = round(WIDTH * min(max(share, 0.0), 1.0))
        columns = shutil.get_terminal_size().columns
        line = f"[{'=' * done}{' ' * (WIDTH - done)}] {text}"[: columns - 1]
        self._stream.write(f"\r{line}\x1b[K")
        self._stream.flush()

    def wipe(self) -> None:
        """Leave no trace."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
