"""What becomes of an application's error: it is logged, and the connection's listeners hear of it."""

from __future__ import annotations

from typing import Any, Protocol

from wsdriver.log import log

__all__ = ["dispatch_end", "report"]


class Listened(Protocol):
    """A connection that has listeners for errors."""

    def _dispatch_error(self, error: BaseException) -> None: ...

    def _dispatch_end(self) -> None: ...


def report(connection: Listened, error: BaseException, log: Any = log) -> None:
    """Log an error with its traceback, and tell the listeners for errors. Nothing that these raise comes out."""
    log.error("error in a handler", exc_info=error)
    try:
        connection._dispatch_error(error)
    except Exception as raised:
        log.error("error in a listener for errors", exc_info=raised)


def dispatch_end(connection: Listened, log: Any = log) -> None:
    """Tell the listeners of the end, if that is still to be done, where nobody is there to take what they raise."""
    try:
        connection._dispatch_end()
    except Exception as error:
        report(connection, error, log)
