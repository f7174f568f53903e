"""Taking a connection over from the WSGI server that read its request: one table of servers.

A server of ours offers a :class:`Takeover` in the environ. For others, a row of the table makes one: it knows where the
socket is, and what the server has read of it beyond the request's head.
"""

from __future__ import annotations

import io
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent.socket
from gevent import getcurrent

from wsdriver.environ import Environ
from wsdriver.exceptions import ConfigurationError
from wsdriver.green.decoy import Decoy, take_descriptor, take_socket
from wsdriver.green.loop import io_hub
from wsdriver.green.openssl import clear_errors

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

    def watch(self, tell: Callable[[Any], object]) -> None:
        """Have ``tell(connection)`` called as well when somebody takes it."""
        before = self._on_claim

        def tell_both(connection: Any) -> None:
            if before is not None:
                before(connection)
            tell(connection)

        self._on_claim = tell_both

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
    """A connection of a server that knows nothing of it.

    Args:
        take: takes the connection out of ``sock``, and returns it with the other end of what that has become.
    """

    __slots__ = ("_take_out",)

    def __init__(self, sock: Any, buffered: Callable[[], bytes], take: Callable[[Any], tuple[Any, Any]]) -> None:
        # A server whose sockets are not gevent's has threads for handlers.
        threads = take is take_socket and not isinstance(sock, gevent.socket.socket)
        super().__init__(sock, buffered, None, io_hub() if threads else None)
        self._take_out = take

    def _take(self, connection: Connection | EventSource) -> Any:
        mine, end = self._take_out(self.sock)
        Decoy(end, connection._loop, connection._request_ended)
        return mine


# --- gunicorn: the environ has the socket ---------------------------------------------------------------------------


def _of_gunicorn(environ: Environ) -> Takeover | None:
    sock = environ.get("gunicorn.socket")
    if sock is None:
        return None
    if not environ.get("wsgi.multithread"):
        raise ConfigurationError(
            "gunicorn's sync worker serves one request at a time, and is killed when that takes long; run the "
            "application with 'gunicorn -k wsdriver.worker', '-k gevent', or '-k gthread --threads N'"
        )
    return _ForeignTakeover(sock, lambda: gunicorn_buffered(environ["wsgi.input"].reader.unreader), take_socket)


def gunicorn_buffered(unreader: Any) -> bytes:
    """Return what gunicorn has read beyond the request's head."""
    if hasattr(unreader, "take_buffered"):
        taken: bytes = unreader.take_buffered()
        return taken
    taken = unreader.buf.getvalue()  # before gunicorn 27
    unreader.buf.seek(0)
    unreader.buf.truncate()
    return taken


# --- gevent.pywsgi, werkzeug, wsgiref, Django's runserver: they read the socket through a file ----------------------


def _of_file(environ: Environ) -> Takeover | None:
    stream = environ.get("wsgi.input")
    stream = getattr(stream, "rfile", stream)  # gevent.pywsgi's Input
    # Django's LimitedStream, around what wsgiref gives it
    stream = getattr(getattr(stream, "_read", None), "__self__", stream)
    if not isinstance(stream, io.BufferedReader) or not hasattr(stream.raw, "_sock"):
        return None
    sock = stream.raw._sock
    return _ForeignTakeover(sock, partial(file_buffered, stream, sock), take_socket)


def file_buffered(file: Any, sock: Any) -> bytes:
    """Return what lies in a socket's buffered file."""
    timeout = sock.gettimeout()
    sock.settimeout(0)  # peek() reads where nothing lies there, and must not wait
    try:
        early: bytes = file.peek()
        file.read(len(early))  # else the server would take it for the next request
    except OSError:
        clear_errors()
        early = b""
    finally:
        sock.settimeout(timeout)
    return early


# --- uWSGI: there is only a descriptor ------------------------------------------------------------------------------


def _of_uwsgi(environ: Environ) -> Takeover | None:
    if "uwsgi.version" not in environ:
        return None
    import uwsgi

    # The gevent plugin notes the request's C structure on its greenlet.
    request = getattr(getcurrent(), "uwsgi_wsgi_req", None)
    if request is None or b"https-socket" in uwsgi.opt:
        raise ConfigurationError(
            "uWSGI hands its connection over in 'uwsgi --http-socket ADDRESS --gevent N' only; let a proxy do TLS"
        )
    return _ForeignTakeover(uwsgi.connection_fd(), partial(_uwsgi_buffered, request), take_descriptor)


def _uwsgi_buffered(request: int) -> bytes:
    """Return what uWSGI has read beyond the head. Its function goes on with the socket where nothing lies there, which
    does not wait; so what comes is what comes next, in any case.
    """
    import ctypes

    read = ctypes.CDLL(None).uwsgi_proto_base_read_body
    read.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    read.restype = ctypes.c_ssize_t
    buffer = ctypes.create_string_buffer(65536)
    count = read(request, buffer, len(buffer))
    return buffer.raw[: max(count, 0)]


# --- the table ------------------------------------------------------------------------------------------------------

_SERVERS = (_of_uwsgi, _of_gunicorn, _of_file)


def find_takeover(environ: Environ) -> Takeover | None:
    """Return what the server offers, knowingly or not; None where it cannot hand its connection over.

    Raises:
        ConfigurationError: it could, started otherwise.
    """
    takeover = environ.get(KEY)
    if isinstance(takeover, Takeover):
        return takeover
    for of_server in _SERVERS:
        takeover = of_server(environ)
        if takeover is not None:
            if isinstance(environ, MutableMapping):
                environ[KEY] = takeover  # so that it is claimed once
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
            "gevent and gthread workers, gevent.pywsgi, werkzeug's and Django's development servers, wsgiref's, and "
            "uWSGI with --gevent work too"
        )
    return takeover
