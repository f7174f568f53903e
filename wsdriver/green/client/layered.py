"""TLS on top of any socket: where the standard library's cannot go.

It wants a socket of the system below. Behind an ``https:`` proxy there is another TLS instead; and a context that was
made before gevent patched ``ssl`` cannot wrap any socket afterwards, whereas it can do this.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from wsdriver.green.openssl import clear_errors

__all__ = ["LayeredTls"]

#: What one TLS record carries.
RECORD = 16384


class LayeredTls:
    """A TLS socket over another socket, which it owns; both non-blocking.

    An ``ssl.SSLObject`` between two memory buffers; neither a thread nor a greenlet moves the bytes. Its methods raise
    ``SSLWantReadError`` and ``SSLWantWriteError`` where the socket below has to wait.

    Args:
        outer: the connected socket, with TLS of its own or without.
        context: for the TLS inside.
        server_hostname: of the server, for SNI and the check of its certificate.
    """

    __slots__ = ("_accepted", "_incoming", "_object", "_outer", "_outgoing", "_unsent")

    def __init__(self, outer: Any, context: ssl.SSLContext, server_hostname: str) -> None:
        self._outer = outer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._unsent = b""  # encrypted, and not taken by the outer socket yet
        self._accepted = 0  # bytes of the caller that are in it, and not reported as sent yet

    # --- TLS --------------------------------------------------------------------------------------------------------

    def do_handshake(self) -> None:
        try:
            self._step(self._object.do_handshake)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            try:
                self._flush()  # the alert that says why not
            except OSError:
                clear_errors()
            raise
        self._flush()

    def unwrap(self) -> None:
        """Say that no more comes."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass  # the peer has not said so: not waited for
        self._flush()
        if hasattr(self._outer, "unwrap"):
            self._outer.unwrap()

    # --- reading ----------------------------------------------------------------------------------------------------

    def recv_into(self, buffer: bytearray) -> int:
        try:
            count: int = self._step(self._object.read, len(buffer), buffer)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return 0
        return count

    def recv(self, size: int) -> bytes:
        buffer = bytearray(size)
        count = self.recv_into(buffer)
        return bytes(buffer[:count])

    # --- writing ----------------------------------------------------------------------------------------------------

    def send(self, data: Any) -> int:
        """Send a record at most. After ``SSLWantWriteError`` it has to be called again with the same bytes, as OpenSSL
        wants it: they are encrypted already.
        """
        if not self._accepted:
            self._accepted = self._step(self._object.write, data[:RECORD])
        self._flush()
        count, self._accepted = self._accepted, 0
        return count

    # --- between the two --------------------------------------------------------------------------------------------

    def _step(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Do a step of the inner TLS, as far as the outer one lets it."""
        while True:
            try:
                return call(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                try:
                    data = self._outer.recv(65536)
                except BlockingIOError:
                    raise ssl.SSLWantReadError("the socket below has to be readable") from None
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()

    def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        while self._unsent:
            # At least the same bytes again, where it could not: OpenSSL has encrypted them.
            try:
                count = self._outer.send(self._unsent[:RECORD])
            except BlockingIOError:
                count = 0
            if count == 0:  # also from gevent's SSLSocket, which does not raise
                raise ssl.SSLWantWriteError("the socket below has to be writable")
            self._unsent = self._unsent[count:]

    # --- as any socket ----------------------------------------------------------------------------------------------

    def settimeout(self, seconds: float | None) -> None:
        self._outer.settimeout(seconds)

    def setsockopt(self, *arguments: Any) -> None:
        self._outer.setsockopt(*arguments)

    def fileno(self) -> int:
        fd: int = self._outer.fileno()
        return fd

    def getpeername(self) -> Any:
        return self._outer.getpeername()

    def shutdown(self, how: int) -> None:
        """Nothing: TLS has no half-close, and what still comes is to be read."""

    def close(self) -> None:
        self._outer.close()
