"""``--reload``: this process becomes its own successor when a source has changed; the listening socket stays open."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from typing import NoReturn

__all__ = ["Watch", "inherited", "restart"]

#: The variable that tells the successor which descriptor the listening socket has.
LISTENER = "WSDRIVER_LISTENER"

#: Seconds between two looks.
PAUSE = 0.5


class Watch:
    """Looks at the files of all modules that are loaded.

    Args:
        also: other files, which need not exist yet.
    """

    def __init__(self, also: Iterable[str] = ()) -> None:
        self._also = set(also)
        self._times: dict[str, int] = {}
        #: The file that has changed.
        self.changed: str | None = None
        self.look()

    def look(self) -> bool:
        """Tell whether a file has changed since the last look."""
        for path in self._files():
            time_of = _time_of(path)
            known = self._times.setdefault(path, time_of)
            # One that is gone may be back in an instant: editors replace files.
            if time_of not in (0, known):
                self._times[path] = time_of
                self.changed = path
                return True
        return False

    def wait(self) -> None:
        """Return when a file has changed."""
        while not self.look():
            time.sleep(PAUSE)

    def _files(self) -> set[str]:
        loaded = {getattr(module, "__file__", None) for module in tuple(sys.modules.values())}
        return {path for path in loaded if path and path.endswith(".py")} | self._also


def _time_of(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def inherited() -> int | None:
    """Return the descriptor of the socket that this process has left open for itself; None where it is the first."""
    text = os.environ.pop(LISTENER, "")
    return int(text) if text.isdigit() else None


def restart(listener: int | None) -> NoReturn:
    """Begin again, as the same process and with that listening socket, if there is one yet."""
    if listener is not None:
        os.set_inheritable(listener, True)
        os.environ[LISTENER] = str(listener)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, sys.orig_argv)
