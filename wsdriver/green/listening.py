"""Listening sockets: new ones, and one that another program has left open for us."""

from __future__ import annotations

import errno
import os
import stat
from typing import Any

from gevent import socket

from wsdriver.green.client.stages import closing_on_error

__all__ = ["inherit", "listen_tcp", "listen_unix", "own_address"]

BACKLOG = 1024


def listen_tcp(host: str, port: int) -> Any:
    """Listen at an address.

    Args:
        host: a name or an address; ``''`` for all of IPv4, ``'::'`` for all.
        port: 0 for any that is free.

    Raises:
        OSError: it cannot be listened at, or the name has no address.
    """
    wanted = 0 if host else socket.AF_INET
    found = socket.getaddrinfo(host or None, port, wanted, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    with closing_on_error(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        return _listening(sock)


def listen_unix(path: str) -> Any:
    """Listen at a Unix socket; one that a program has left behind there is replaced.

    Raises:
        OSError: it cannot be listened at; somebody listens there already.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with closing_on_error(sock):
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_abandoned(path):
                raise
            os.unlink(path)
            sock.bind(path)
        return _listening(sock)


def _listening(sock: Any) -> Any:
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def _is_abandoned(path: str) -> bool:
    """Tell whether it is a Unix socket at which nobody listens."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return bool(probe.connect_ex(path) == errno.ECONNREFUSED)


def inherit(fd: int) -> Any:
    """Return the listening socket of that descriptor.

    Raises:
        OSError: it is none.
    """
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock


def own_address() -> str | None:
    """Return the address by which this machine talks to the network; None where it does not. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # of nobody: RFC 5737
        except OSError:
            return None
        return str(sock.getsockname()[0])
