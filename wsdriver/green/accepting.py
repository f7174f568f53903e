"""Accepting connections while the system is short of something: a pause, not a storm of errors."""

from __future__ import annotations

import errno
from time import monotonic
from typing import Any

from gevent.server import StreamServer

from wsdriver.log import log

__all__ = ["PatientServer"]

#: The process, or the system, has no descriptor or no memory left. The connection stays in the listener's queue.
SHORT = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])

#: One connection failed before it was accepted, and is out of the queue: there may be others behind it.
FAILED = frozenset(
    [
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ETIMEDOUT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    ]
)

#: Seconds between attempts to accept. A listener's event stays on, so that without a pause there would be no end of it.
PAUSE = 0.25

#: Seconds in which one line in the log is enough.
TOLD_FOR = 60.0


class PatientServer(StreamServer):  # type: ignore[misc]  # gevent has no types for it
    """A server that accepts no connection while it cannot, and again as soon as it can; those that it has live on.

    gevent's own prints a traceback for each attempt, and makes all connections wait where one was aborted.
    """

    log: Any = log
    _short_since = 0.0  # 0: nothing is short
    _told = -TOLD_FOR  # when that was last logged

    def do_read(self) -> Any:
        try:
            accepted = self._take()
        except OSError as error:
            if error.errno in SHORT:
                self._pause(error)
            elif error.errno not in FAILED:
                raise
            return None
        if self._short_since:
            self._resumed()
        return accepted

    def _take(self) -> Any:
        """Accept one connection; None where there is none. Other servers of ours do it their way."""
        return super().do_read()

    def _pause(self, error: OSError) -> None:
        self.stop_accepting()
        self._timer = self.loop.timer(PAUSE)
        self._timer.start(self._start_accepting_if_started)
        now = monotonic()
        if not self._short_since:
            self._short_since = now
            if now - self._told >= TOLD_FOR:
                self._told = now
                self.log.warning("no connections are accepted for now: %s", error)

    def _resumed(self) -> None:
        if self._short_since == self._told:
            self.log.info("connections are accepted again, after %.1f seconds", monotonic() - self._told)
        self._short_since = 0.0
