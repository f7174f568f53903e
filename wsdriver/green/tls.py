"""TLS handshakes that wait in the hub, with any SSLContext: gevent's, the standard library's, patched or not."""

from __future__ import annotations

import ssl
from typing import Any

from gevent.socket import wait_read, wait_write

__all__ = ["client_context", "do_handshake"]


def client_context(tls: Any) -> ssl.SSLContext:
    """Return the context for a client: certificates and host names are checked unless the caller's own does not."""
    return tls if isinstance(tls, ssl.SSLContext) else ssl.create_default_context()


def do_handshake(sock: Any) -> None:
    """Do the TLS handshake on a socket that was wrapped without.

    Raises:
        ssl.SSLError, OSError: it failed.
    """
    sock.settimeout(0)
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            wait_read(sock.fileno())
        except ssl.SSLWantWriteError:
            wait_write(sock.fileno())


class TlsStream:
    """TLS in the middle of a connection, over a socket that is another one than it began with.

    It has of a socket what a connection uses.

    Args:
        sock: the connection's; it does no TLS.
        tls: the state of TLS, of an ``SSLSocket``.
        asked: the socket object that the state asks for its timeout, and that has to live as long as it.
    """

    __slots__ = ("_asked", "_sock", "_tls", "close", "fileno", "getpeername", "setsockopt", "shutdown")

    def __init__(self, sock: Any, tls: Any, asked: Any) -> None:
        self._sock = sock
        self._tls = tls
        self._asked = asked
        self.close = sock.close
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
