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
