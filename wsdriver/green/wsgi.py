"""Taking a connection over from the WSGI server that read its request.

A server of ours puts a :class:`Takeover` into the environ. It is the one thing that a WebSocket wants of a server, and
whether it was claimed is the one thing that the server wants to know afterwards: never the identity of what the
application returned, which frameworks wrap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit

from wsdriver.environ import Environ
from wsdriver.exceptions import ConfigurationError, ConnectionClosed, HandshakeError

if TYPE_CHECKING:
    from wsdriver.green.connection import Connection

__all__ = ["KEY", "Takeover", "WsgiResponse", "call_application", "end_session", "status_of", "takeover_of"]

log = logging.getLogger("wsdriver")

#: Where the environ holds it.
KEY = "wsdriver.takeover"


class Takeover:
    """A connection that may be taken over, once.

    Args:
        sock: the socket.
        buffered: returns what the server has read beyond the request's head, without waiting.
        on_claim: is told of the connection that took it.

    Attributes:
        connection: who took it, or None.
    """

    __slots__ = ("_buffered", "_on_claim", "connection", "sock")

    def __init__(
        self, sock: Any, buffered: Callable[[], bytes], on_claim: Callable[[Connection], object] | None = None
    ) -> None:
        self.sock = sock
        self._buffered = buffered
        self._on_claim = on_claim
        self.connection: Connection | None = None

    def claim(self, connection: Connection) -> tuple[Any, bytes]:
        """Return the socket and what the server had read already; from now on the server keeps its hands off.

        Raises:
            ConfigurationError: somebody has it already.
        """
        if self.connection is not None:
            raise ConfigurationError("this request's connection has been taken by another WebSocket already")
        self.connection = connection
        early = self._buffered()
        if self._on_claim is not None:
            self._on_claim(connection)
        return self.sock, early


def takeover_of(environ: Environ) -> Takeover:
    """Return what the server offers.

    Raises:
        ConfigurationError: it offers nothing.
    """
    takeover = environ.get(KEY)
    if not isinstance(takeover, Takeover):
        software = environ.get("SERVER_SOFTWARE", "an unknown server")
        raise ConfigurationError(
            f"this WSGI server ({software}) does not hand over its connection; "
            "run the application under 'gunicorn -k wsdriver.worker', or under "
            "gevent.pywsgi.WSGIServer(..., handler_class=wsdriver.WebSocketHandler)"
        )
    return takeover


class WsgiResponse:
    """What an application returns after a WebSocket: right for any server and any framework.

    It is an empty iterable for plain WSGI, and a WSGI application for frameworks that want one (Flask, werkzeug).
    """

    __slots__ = ()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> WsgiResponse:
        start_response("101 Switching Protocols", [])
        return self

    def __iter__(self) -> Iterator[bytes]:
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


def status_of(connection: Connection) -> str:
    """Return the status line of the answer that a connection's request got, for an access log."""
    error = connection.close_error
    return f"{error.status} Refused" if isinstance(error, HandshakeError) else "101 Switching Protocols"


def end_session(connection: Connection, error: BaseException | None, log: Any = log) -> None:
    """End a connection whose handler has returned, or raised ``error``; wait until its socket is closed.

    An application's error is logged, to ``log``, with its traceback and closes with 1011. That the peer went away is
    none.
    """
    if error is None:
        connection.accept()
        if connection._has_message_listener():
            try:
                connection.run()
            except Exception as raised:
                end_session(connection, raised, log)
                return
        connection._start_close(1000, "")
    elif isinstance(error, ConnectionClosed) and connection.state in ("closing", "closed"):
        log.debug("a handler sent to a peer that had gone: %s", error)
    elif isinstance(error, (GreenletExit, SystemExit, KeyboardInterrupt)):
        # Killed: no time to wait, and whoever kills closes the socket next.
        connection._start_close(1001, "server going away")
        connection.terminate()
    else:
        log.error("error in a WebSocket handler", exc_info=error)
        connection._dispatch_error(error)
        connection._start_close(1011, "internal error")
    try:
        connection._wait_released()
    finally:
        connection._dispatch_end()
