"""Calling a WSGI application whose request's connection may be taken over, and what is to happen when it returns.

Whether the connection was taken is what the server wants to know: never the identity of what the application returned,
which frameworks wrap.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit

from wsdriver.environ import Environ
from wsdriver.exceptions import ConnectionClosed
from wsdriver.green.failures import dispatch_end, report
from wsdriver.green.takeover import Takeover
from wsdriver.log import log

if TYPE_CHECKING:
    from wsdriver.green.connection import Connection
    from wsdriver.green.eventsource import EventSource

__all__ = ["WsgiResponse", "call_application", "end_session", "heed_status"]

#: Servers that want a status before they are content, by the module that iterates a response.
_SERVERS = ("gevent.pywsgi", "gunicorn.workers.", "werkzeug.serving", "wsgiref.handlers")


class WsgiResponse:
    """What an application returns after it has taken the connection: right for any server and any framework.

    It is an empty iterable for plain WSGI, and a WSGI application for frameworks that want one (Flask, werkzeug).

    Args:
        status: what has been answered.
    """

    __slots__ = ("_status",)

    def __init__(self, status: str) -> None:
        self._status = status

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> WsgiResponse:
        start_response(self._status, [])
        return self

    def __iter__(self) -> Iterator[bytes]:
        # A plain application returns this without having called start_response. Some servers then fail, or log no
        # status: the one that iterates here is told.
        caller = sys._getframe().f_back  # None where C iterates
        if caller is not None and caller.f_globals.get("__name__", "").startswith(_SERVERS):
            known = caller.f_locals
            response = known.get("resp") or known.get("self")
            start_response = known.get("start_response") or getattr(response, "start_response", None)
            if start_response is not None:
                try:
                    start_response(self._status, [])
                except AssertionError:
                    pass  # a framework has done so
        return iter(())

    def close(self) -> None:
        """Nothing is held."""


class _Resumed:
    """An application's result of which the beginning has been taken already."""

    __slots__ = ("_beginning", "_iterator", "_result")

    def __init__(self, beginning: list[bytes], iterator: Iterator[bytes], result: Any) -> None:
        self._beginning = beginning
        self._iterator = iterator
        self._result = result

    def __iter__(self) -> Iterator[bytes]:
        return chain(self._beginning, self._iterator)

    def close(self) -> None:
        _close(self._result)


def call_application(application: Any, environ: Environ, start_response: Any, takeover: Takeover) -> Any:
    """Call a WSGI application with a request whose connection it may take over.

    A generator takes it only when it is iterated, so that is begun here.

    Returns:
        what the server has to send, or None where the connection was taken and the application is done.
    """
    result = application(environ, start_response)
    try:
        if takeover.connection is None and result is not None and not isinstance(result, (list, tuple)):
            iterator = iter(result)
            beginning = []
            for chunk in iterator:
                if chunk and takeover.connection is None:
                    beginning.append(chunk)
                    break
            if takeover.connection is None:
                return _Resumed(beginning, iterator, result)
    except BaseException:
        _close(result)
        raise
    if takeover.connection is None:
        return result
    _close(result)
    return None


def _close(result: Any) -> None:
    """Close what an application returned (PEP 3333)."""
    if hasattr(result, "close"):
        result.close()


def heed_status(connection: Connection | EventSource, status: str | None) -> None:
    """Close with 1011 what an application answered with a page of an error after it took the connection.

    Frameworks make such a page of what a view raises; nobody can see it.

    Args:
        connection: that it took.
        status: of the page, such as ``'500 Internal Server Error'``; None where there is none.
    """
    if status is not None and status >= "500":
        connection._request_ended(500)


def end_session(connection: Connection | EventSource, error: BaseException | None, log: Any = log) -> None:
    """End a connection whose handler has returned, or raised ``error``; wait until its socket is closed.

    An application's error, also one of a listener, is logged, to ``log``, with its traceback, told to the listeners for
    errors, and closes with 1011. That the peer went away is none.
    """
    if error is None:
        try:
            connection.accept()
            if connection._has_message_listener():
                connection.run()
        except BaseException as raised:
            error = raised
    if error is None:
        connection._start_close(1000, "")
    elif isinstance(error, ConnectionClosed) and connection.state in ("closing", "closed"):
        log.debug("a handler sent to a peer that had gone: %s", error)
    elif isinstance(error, (GreenletExit, SystemExit, KeyboardInterrupt)):
        # Killed: no time to wait, and whoever kills closes the socket next.
        connection._start_close(1001, "server going away")
        connection.terminate()
    else:
        report(connection, error, log)
        connection._start_close(1011, "internal error")
    try:
        connection._wait_released()
    except BaseException:  # killed while it waits
        connection.terminate()
        raise
    finally:
        dispatch_end(connection, log)
