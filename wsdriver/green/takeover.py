"""Taking a connection over from the WSGI server that read its request: one table of servers.

A server of ours offers a :class:`Takeover` in the environ. In others, a row of the table knows where the socket is, and
what the server has read of it beyond the request's head.
"""

from __future__ import annotations

import io
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import gevent.socket

from wsdriver.environ import Environ
from wsdriver.exceptions import ConfigurationError
from wsdriver.green.decoy import Decoy, take_socket
from wsdriver.green.loop import io_hub

if TYPE_CHECKING:
    from wsdriver.green.connection import Connection
    from wsdriver.green.eventsource import EventSource

__all__ = ["KEY", "Takeover", "find_takeover", "takeover_of"]

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
        hub: to which the connection is to belong; None for the running one.
    """

    __slots__ = ("_buffered", "_on_claim", "connection", "hub", "sock")

    def __init__(
        self,
        sock: Any,
        buffered: Callable[[], bytes],
        on_claim: Callable[[Any], object] | None = None,
        hub: Any = None,
    ) -> None:
        self.sock = sock
        self._buffered = buffered
        self._on_claim = on_claim
        self.hub = hub
        self.connection: Connection | EventSource | None = None

    def claim(self, connection: Connection | EventSource) -> tuple[Any, bytes]:
        """Return the socket and what the server had read already; from now on the server keeps its hands off.

        Raises:
            ConfigurationError: somebody has it already.
        """
        if self.connection is not None:
            raise ConfigurationError(
                "this request's connection has been taken by another WebSocket or EventSource already"
            )
        early = self._buffered()
        self.connection = connection
        sock = self._take(connection)
        if self._on_claim is not None:
            self._on_claim(connection)
        return sock, early

    def _take(self, connection: Connection | EventSource) -> Any:
        return self.sock


class _ForeignTakeover(Takeover):
    """A connection of a server that knows nothing of it."""

    __slots__ = ()

    def _take(self, connection: Connection | EventSource) -> Any:
        mine, end = take_socket(self.sock)
        Decoy(end, connection._loop, connection._request_ended)
        return mine


class _Server(NamedTuple):
    """A row of the table.

    Attributes:
        find: returns the socket of a request of this server, or None.
        buffered: returns what the server has read beyond the head.
    """

    find: Callable[[Environ], Any]
    buffered: Callable[[Environ, Any], bytes]


def _gunicorn_socket(environ: Environ) -> Any:
    sock = environ.get("gunicorn.socket")
    if sock is not None and not environ.get("wsgi.multithread"):
        raise ConfigurationError(
            "gunicorn's sync worker serves one request at a time, and is killed when that takes long; run the "
            "application with 'gunicorn -k wsdriver.worker', '-k gevent', or '-k gthread --threads N'"
        )
    return sock


def gunicorn_buffered(unreader: Any) -> bytes:
    """Return what gunicorn has read beyond the request's head."""
    if hasattr(unreader, "take_buffered"):
        taken: bytes = unreader.take_buffered()
        return taken
    taken = unreader.buf.getvalue()  # before gunicorn 27
    unreader.buf.seek(0)
    unreader.buf.truncate()
    return taken


def _file_of(environ: Environ) -> Any:
    """Return the buffered file that a server reads its socket through, or None."""
    stream = environ.get("wsgi.input")
    stream = getattr(stream, "rfile", stream)  # gevent.pywsgi's Input
    # Django's LimitedStream, around what wsgiref gives it
    stream = getattr(getattr(stream, "_read", None), "__self__", stream)
    return stream if isinstance(stream, io.BufferedReader) and hasattr(stream.raw, "_sock") else None


def _file_socket(environ: Environ) -> Any:
    file = _file_of(environ)
    return None if file is None else file.raw._sock


def file_buffered(file: Any, sock: Any) -> bytes:
    """Return what lies in a socket's buffered file."""
    timeout = sock.gettimeout()
    sock.settimeout(0)  # peek() reads where nothing lies there, and must not wait
    try:
        early: bytes = file.peek()
    except OSError:
        early = b""
    finally:
        sock.settimeout(timeout)
    return early


#: gunicorn says which socket it is; pywsgi, werkzeug and wsgiref read it through a file.
_SERVERS = (
    _Server(_gunicorn_socket, lambda environ, sock: gunicorn_buffered(environ["wsgi.input"].reader.unreader)),
    _Server(_file_socket, lambda environ, sock: file_buffered(_file_of(environ), sock)),
)


def find_takeover(environ: Environ) -> Takeover | None:
    """Return what the server offers, knowingly or not; None where it cannot hand its connection over."""
    takeover = environ.get(KEY)
    if isinstance(takeover, Takeover):
        return takeover
    for server in _SERVERS:
        sock = server.find(environ)
        if sock is not None:
            hub = None if isinstance(sock, gevent.socket.socket) else io_hub()
            takeover = _ForeignTakeover(sock, partial(server.buffered, environ, sock), None, hub)
            if isinstance(environ, MutableMapping):
                environ[KEY] = takeover
            return takeover
    return None


def takeover_of(environ: Environ) -> Takeover:
    """Return what the server offers.

    Raises:
        ConfigurationError: it cannot hand its connection over.
    """
    takeover = find_takeover(environ)
    if takeover is None:
        software = environ.get("SERVER_SOFTWARE", "an unknown server")
        raise ConfigurationError(
            f"this WSGI server ({software}) does not hand over its connection; run the application under 'gunicorn "
            "-k wsdriver.worker' or gevent.pywsgi.WSGIServer(..., handler_class=wsdriver.WebSocketHandler); gunicorn's "
            "gevent and gthread workers, gevent.pywsgi, werkzeug's development server and wsgiref's work too"
        )
    return takeover
