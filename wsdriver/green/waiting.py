"""Calls on non-blocking sockets, with TLS or without, that wait in the hub; any socket object will do."""

from __future__ import annotations

from collections.abc import Callable
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Any, TypeVar

from gevent.socket import wait_read, wait_write

from wsdriver.green.openssl import clear_errors

__all__ = ["do_handshake", "read_some", "wait_for", "write_all"]

T = TypeVar("T")


def read_some(sock: Any) -> bytes:
    """Wait for bytes, and return them; nothing at the end of the stream.

    Raises:
        OSError: the connection is lost.
    """
    data: bytes = wait_for(sock, wait_read, sock.recv, 65536)
    return data


def write_all(sock: Any, data: bytes) -> None:
    """Write all of it.

    Raises:
        OSError: the connection is lost.
    """
    while data:
        count = wait_for(sock, wait_write, sock.send, data)
        if count == 0:
            wait_write(sock.fileno())  # gevent's SSLSocket does not raise where it would have to wait
        data = data[count:]


def wait_for(sock: Any, wait: Callable[[int], object], call: Callable[..., T], *arguments: Any) -> T:
    """Call until it need not wait; where a plain socket has to, it is for ``wait``, ``wait_read`` or ``wait_write``."""
    while True:
        try:
            return call(*arguments)
        except BlockingIOError:
            wait(sock.fileno())
        except SSLWantReadError:
            wait_read(sock.fileno())
        except SSLWantWriteError:
            wait_write(sock.fileno())
        except OSError:
            clear_errors()
            raise


def do_handshake(sock: Any) -> None:
    """Do the TLS handshake on a socket that was wrapped without; waits in the hub, with any SSLContext.

    Raises:
        ssl.SSLError, OSError: it failed.
    """
    sock.settimeout(0)
    wait_for(sock, wait_read, sock.do_handshake)
