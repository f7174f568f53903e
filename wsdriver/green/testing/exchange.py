"""One request of a test, and the application that answers it, in a greenlet of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import gevent.socket
from gevent import Greenlet, GreenletExit, getcurrent

from wsdriver.exceptions import ConnectionClosed
from wsdriver.green.testing.frameworks import errors_of_frameworks

__all__ = ["Exchange", "note_error"]

#: Seconds that an application has to end by itself, where nobody is interested any more.
GRACE = 0.5

#: Packages in which an application waits, rather than in its own code.
_NOT_THE_APPLICATION = sys.stdlib_module_names | {"gevent", "wsdriver"}


class Exchange(Greenlet):  # type: ignore[misc]  # gevent has no types for it
    """The greenlet of the application, from the request to the end of the connection.

    Args:
        serve: serves one connection: called with its socket.

    Attributes:
        sock: the client's end of the connection.
        hung_up: whether the client has closed it: that the application finds it closed is no error then.
    """

    def __init__(self, serve: Callable[[Any], object]) -> None:
        super().__init__()
        self._serve = serve
        self.sock, self._peer = gevent.socket.socketpair()
        self.hung_up = False
        self._errors: list[BaseException] = []
        self._told = False

    def _run(self) -> None:
        try:
            with errors_of_frameworks(self._note_own):
                self._serve(self._peer)
        except BaseException as error:
            self.note(error)
        finally:
            self._peer.close()

    def drop(self) -> None:
        """Close both ends of what has not been started."""
        self.sock.close()
        self._peer.close()

    def _note_own(self, error: BaseException) -> None:
        if getcurrent() is self:  # else it is another request's
            self.note(error)

    def note(self, error: BaseException) -> None:
        """Keep what the application has raised."""
        gone = isinstance(error, ConnectionClosed) and self.hung_up
        if not gone and not isinstance(error, GreenletExit):
            self._errors.append(error)

    def raise_error(self) -> None:
        """Raise what the application has raised, once."""
        __tracebackhide__ = True  # by pytest, which shows the line of the test, and then the application's
        if self._errors and not self._told:
            self._told = True
            raise self._errors[0]

    def finish(self, timeout: float | None) -> None:
        """Wait until the application is done.

        Raises:
            TimeoutError: it is not; it is ended.
        """
        self.join(timeout)
        if not self.ready():
            where = self.where()
            self.kill(timeout=1)
            raise TimeoutError(f"the connection is closed, but {timeout} seconds later {where}")

    def abandon(self) -> None:
        """End the application, if it does not end by itself soon: the test has failed already."""
        self.join(GRACE)
        self.kill(timeout=GRACE)

    def where(self) -> str:
        """Say where the application is."""
        frame = None if self.ready() else self.gr_frame
        innermost = frame
        while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_APPLICATION:
            frame = frame.f_back
        frame = frame or innermost
        if frame is None:
            return "the application has returned"
        code = frame.f_code
        return f"the application is still in {code.co_name}(), {code.co_filename}:{frame.f_lineno}"


def note_error(error: BaseException | None) -> None:
    """Keep what the application of the running greenlet has raised."""
    exchange = getcurrent()
    if error is not None and isinstance(exchange, Exchange):
        exchange.note(error)
