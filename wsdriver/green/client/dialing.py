"""Connected sockets to a host and port, to a Unix socket, or from the caller's hands."""

from __future__ import annotations

import os
import socket as stdlib_socket
from typing import Any

from gevent import socket

from wsdriver.exceptions import ConfigurationError
from wsdriver.green.client.stages import Deadline, closing_on_error
from wsdriver.http import authority_of

__all__ = ["check_sock", "check_unix", "connect_tcp", "connect_unix", "resolve", "take_over"]


def resolve(host: str, port: int, deadline: Deadline, family: int = 0) -> list[Any]:
    """Return what ``getaddrinfo`` has about a host, asked in gevent's thread pool.

    Raises:
        socket.gaierror: the name has no address.
        TimeoutError: the deadline has passed.
    """
    with deadline.stage("resolve", f"cannot resolve {host!r}"):
        try:
            host.encode("idna")
        except UnicodeError:
            # An empty label, or one of more than 63 characters: getaddrinfo would raise this, by way of the log.
            raise socket.gaierror(socket.EAI_NONAME, "it is no domain name") from None
        return list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))


def connect_tcp(host: str, port: int, deadline: Deadline) -> Any:
    """Connect to the first of a host's addresses that takes it, IPv6 or IPv4.

    Raises:
        socket.gaierror: the name has no address.
        OSError: none of them takes it; the error of the last one.
        TimeoutError: the deadline has passed.
    """
    addresses = resolve(host, port, deadline)
    tried = ", ".join(dict.fromkeys(address[0] for *_, address in addresses))
    where = authority_of(host, port) if tried == host else f"{authority_of(host, port)} ({tried})"
    with deadline.stage("connect", f"cannot connect to {where}"):
        for left in range(len(addresses), 0, -1):
            family, kind, protocol, _, address = addresses[-left]
            sock = socket.socket(family, kind, protocol)
            with closing_on_error(sock):
                # An address that swallows everything leaves time for the others.
                remaining = deadline.remaining()
                sock.settimeout(None if left == 1 or remaining is None else remaining / left)
                try:
                    sock.connect(address)
                except OSError:
                    if left == 1:
                        raise
                    sock.close()
                else:
                    sock.settimeout(0)
                    return sock
        raise OSError("the name has no address")


def connect_unix(path: Any, deadline: Deadline) -> Any:
    """Connect to a Unix socket.

    Raises:
        OSError: nobody listens there.
        TimeoutError: the deadline has passed.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with closing_on_error(sock), deadline.stage("connect", f"cannot connect to the Unix socket {path!r}"):
        sock.connect(path)
        sock.settimeout(0)
    return sock


def check_sock(sock: Any) -> None:
    """Refuse what is no connected stream socket. One that the peer has reset meanwhile passes: its use will say that.

    Raises:
        ConfigurationError: it is not.
    """
    try:
        connected = sock.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_TYPE) == stdlib_socket.SOCK_STREAM
        try:
            sock.getpeername()
        except OSError:
            connected = connected and sock.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_ERROR) != 0
    except (AttributeError, OSError):
        connected = False
    if not connected or not (hasattr(sock, "detach") and hasattr(sock, "recv_into")):
        raise ConfigurationError(f"sock must be a connected stream socket, not {sock!r}")


def take_over(sock: Any) -> Any:
    """Return the caller's socket as one of gevent; the caller's own object is closed by that.

    One that does TLS already stays what it is.
    """
    if hasattr(sock, "do_handshake"):
        sock.settimeout(0)
        return sock
    family, kind, protocol = sock.family, sock.type, sock.proto
    own = socket.socket(family, kind, protocol, fileno=sock.detach())
    own.settimeout(0)
    return own


def check_unix(path: Any) -> str | bytes:
    """Return the path of a Unix socket.

    Raises:
        ConfigurationError: it is none, or the system has none.
    """
    if not hasattr(stdlib_socket, "AF_UNIX"):
        raise ConfigurationError("this system has no Unix sockets")
    try:
        plain: str | bytes = os.fspath(path)
    except TypeError:
        plain = ""
    if not plain:
        raise ConfigurationError(f"unix must be the path of a Unix socket, not {path!r}")
    return plain
