"""Who the client of a connection is, where proxies stand between: by the PROXY protocol, and by their headers."""

from __future__ import annotations

import socket as stdlib_socket
from time import monotonic
from typing import Any, NamedTuple

import gevent

from wsdriver.exceptions import HandshakeError
from wsdriver.forwarded import FORWARDED_HEADERS, forwarded_client, is_trusted, says_secure
from wsdriver.http import Headers
from wsdriver.log import log
from wsdriver.proxy_protocol import MAX_SIZE, ProxyHeadReader

__all__ = ["Client", "by_headers", "by_proxy_protocol"]


class Client(NamedTuple):
    """Who speaks at the other end, as far as that is known.

    Attributes:
        address: as sockets have it; None where a proxy does not say.
        secure: whether it speaks TLS, to this server or to a proxy.
    """

    address: Any
    secure: bool

    @property
    def host(self) -> str | None:
        """The address alone: ``""`` for a Unix socket, which has none."""
        if self.address is None:
            return None
        return str(self.address[0]) if isinstance(self.address, tuple) else ""


def by_proxy_protocol(sock: Any, client: Client, trusted: Any, deadline: float | None) -> Client | None:
    """Read the head of the PROXY protocol off a connection, where its peer is trusted, and not a byte more.

    Args:
        sock: connected; a socket of gevent.
        client: as the socket has it.
        trusted: the proxies that are believed. Whoever else sends a head is no HTTP client.
        deadline: by the monotonic clock.

    Returns:
        whom the proxy speaks for; None where there is no head, or a wrong one.
    """
    if not is_trusted(client.host, trusted):
        return client
    reader = ProxyHeadReader()
    timeout = None if deadline is None else max(0.0, deadline - monotonic())
    try:
        with gevent.Timeout(timeout, TimeoutError("the head of the PROXY protocol took too long")):
            while reader.head is None:
                # Looked at, and then taken as far as it is the head's: what follows may be for TLS to read.
                seen = sock.recv(MAX_SIZE, stdlib_socket.MSG_PEEK)
                if not seen:
                    raise HandshakeError("the connection ended before the PROXY protocol")
                sock.recv(reader.feed(seen))
    except (OSError, HandshakeError) as error:
        log.debug("no PROXY protocol from %s: %s", client.address, error)
        return None
    head = reader.head
    return client if head.local else Client(head.source, head.secure or client.secure)


def by_headers(client: Client, headers: Headers, trusted: Any) -> Client:
    """Return whom a trusted proxy speaks for, by the headers of its request; from others these change nothing."""
    # (Most requests have none of them, and to find that out is the cheaper part.)
    if not headers.has_any(FORWARDED_HEADERS) or not is_trusted(client.host, trusted):
        return client
    host = forwarded_client(headers.get_all("X-Forwarded-For"), trusted)
    return Client(client.address if host is None else (host, 0), client.secure or says_secure(headers))
