"""Printing above a prompt of prompt_toolkit, from any thread: nothing is lost when the prompt ends meanwhile."""

from __future__ import annotations

import sys
import threading
from contextlib import nullcontext
from typing import Any

__all__ = ["Above"]

#: Seconds in which what comes is written together: the prompt is drawn anew each time.
TOGETHER = 0.02


class Above:
    """Prints above the prompt of an application, if it runs.

    Args:
        app: of prompt_toolkit.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._waiting: list[str] = []
        self._scheduled = False
        # Else the terminal would echo what is typed while we print.
        app.input.cooked_mode = nullcontext

    def print(self, text: str) -> None:
        """Print a line, or several."""
        with self._lock:
            self._waiting.append(f"{text}\n")
            if self._scheduled:
                return
            self._scheduled = True
        self._schedule()

    def _schedule(self) -> None:
        loop = self._app.loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(loop.call_later, TOGETHER, self._print_in_terminal)
            except RuntimeError:
                pass  # it is closed: flush() comes

    def begin(self) -> None:
        """Print what came before the application ran."""
        if self._scheduled:
            self._schedule()

    def _print_in_terminal(self) -> None:
        from prompt_toolkit.application import run_in_terminal

        run_in_terminal(self.flush)

    def flush(self) -> None:
        """Write what waits: in the application's own time, or behind its end."""
        with self._lock:
            text = "".join(self._waiting)
            self._waiting.clear()
            self._scheduled = False
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
