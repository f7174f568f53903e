"""Taking a socket out of a server's hands, while the server keeps an object that it may still write to and close.

A server that knows nothing of us goes on with the request when the application returns, or fails: it writes a head, or
an error page, and closes. None of that may reach the peer. So its socket object, whose identity many parts of it hold,
is turned into one end of a socket pair. The other end is ours: what the server writes there says how the request ended
for it, and is thrown away; that it closes says that the request is over.
"""

from __future__ import annotations

import _socket
import os
import socket as stdlib_socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent.socket
from gevent.monkey import get_original

__all__ = ["Decoy", "take_descriptor", "take_socket"]

#: The one of the standard library, patched or not.
_Socket: Any = get_original("socket", "socket")
_socketpair: Any = get_original("socket", "socketpair")


class TlsStream:
    """TLS in the middle of a connection, past the socket object that it began with.

    It has of a socket what a connection uses.

    Args:
        sock: the connection's; it does no TLS.
        tls: the state of TLS, of an ``SSLSocket``.
        asked: the socket object that the state asks whether it is open, and may block.
    """

    __slots__ = ("_asked", "_sock", "_tls", "fileno", "getpeername", "setsockopt", "shutdown")

    def __init__(self, sock: Any, tls: Any, asked: Any) -> None:
        self._sock = sock
        self._tls = tls
        self._asked = asked
        self.fileno = sock.fileno
        self.getpeername = sock.getpeername
        self.setsockopt = sock.setsockopt
        self.shutdown = sock.shutdown

    def settimeout(self, timeout: float | None) -> None:
        """Set the connection's; only 0 works."""
        self._sock.settimeout(timeout)

    def recv_into(self, buffer: Any) -> int:
        """Read; 0 at the end of the stream."""
        try:
            count: int = self._tls.read(len(buffer), buffer)
        except ssl.SSLEOFError:
            return 0
        return count

    def send(self, data: Any) -> int:
        """Write."""
        count: int = self._tls.write(data)
        return count

    def unwrap(self) -> None:
        """Say that no more comes."""
        self._tls.shutdown()

    def close(self) -> None:
        """Close the connection's socket."""
        self._sock.close()
        if isinstance(self._asked, _DecoyTlsSocket):
            self._asked.stream_closed()


class _DecoyTlsSocket(ssl.SSLSocket):
    """What a server's TLS socket becomes. TLS goes on in another object, which asks this one whether it may block, and
    does not even say goodbye where this one is closed.
    """

    _stream_is_open = True
    _is_closed_here = False

    def _real_close(self) -> None:
        self._is_closed_here = True
        if self._stream_is_open:
            with suppress(OSError):
                _Socket.shutdown(self, stdlib_socket.SHUT_RDWR)  # the other end sees that
        else:
            super()._real_close()  # type: ignore[misc]  # of the standard library

    def stream_closed(self) -> None:
        """TLS has ended: this may close too, if the server has closed it."""
        self._stream_is_open = False
        if self._is_closed_here:
            super()._real_close()  # type: ignore[misc]  # of the standard library

    def settimeout(self, value: float | None) -> None:
        """It may not."""

    def setblocking(self, flag: bool) -> None:
        """It may not."""


def take_socket(sock: Any) -> tuple[Any, Any]:
    """Take the connection out of a socket object.

    Args:
        sock: of gevent or the standard library, with TLS or without.

    Returns:
        ``(mine, end)``: a socket, or :class:`TlsStream`, that has the connection now; and the other
        end of what ``sock`` has become.
    """
    kind = gevent.socket.socket if isinstance(sock, gevent.socket.socket) else _Socket
    tls = getattr(sock, "_sslobj", None)
    inner = getattr(sock, "_sock", None)  # gevent has a socket inside its socket
    files, timeout = sock._io_refs, sock.gettimeout()
    decoy, end = _socketpair()
    end.setblocking(False)
    end.shutdown(stdlib_socket.SHUT_WR)  # there is no further request
    fd = sock.detach()
    kind.__init__(sock, fileno=decoy.detach())
    sock._io_refs = files
    if tls is None:
        sock.settimeout(timeout)
        return kind(fileno=fd), end
    sock._sslobj = None
    if inner is not None:
        # TLS asks that one, which is the connection's again.
        _socket.socket.__init__(inner, fileno=fd)
        inner.settimeout(0)
        return TlsStream(inner, tls, inner), end
    sock.settimeout(0)
    sock.__class__ = _DecoyTlsSocket
    return TlsStream(kind(fileno=fd), tls, sock), end


def take_descriptor(fd: int) -> tuple[Any, Any]:
    """Take the connection out of a descriptor, of a server that is not written in Python, as :func:`take_socket` does.

    Returns:
        ``(mine, end)``, as there; ``mine`` is a socket of gevent.
    """
    mine = gevent.socket.socket(fileno=os.dup(fd))
    decoy, end = _socketpair()
    end.setblocking(False)
    end.shutdown(stdlib_socket.SHUT_WR)
    decoy.setblocking(False)
    os.dup2(decoy.fileno(), fd, inheritable=False)
    decoy.close()
    return mine, end


class Decoy:
    """Watches what a server does with the decoy.

    Args:
        end: of the socket pair.
        loop: the event loop.
        on_end: called once, with the HTTP status that the server wrote, or 0: for the server, the request is over.
    """

    __slots__ = ("_end", "_on_end", "_reader")

    def __init__(self, end: Any, loop: Any, on_end: Callable[[int], object]) -> None:
        self._end = end
        self._on_end: Callable[[int], object] | None = on_end
        self._reader = loop.io(end.fileno(), 1)
        self._reader.start(self._on_readable)

    def _on_readable(self) -> None:
        try:
            data = self._end.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(int(data[9:12]) if data.startswith(b"HTTP/1.") and data[9:12].isdigit() else 0)
        if not data:
            self._reader.stop()
            self._reader.close()
            self._end.close()
