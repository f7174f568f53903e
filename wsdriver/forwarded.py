"""What a reverse proxy says of its client's connection, and which peers are believed.

A proxy that ends TLS speaks plain HTTP to us, and says in a header that the client did not. Any client can send such a
header too, so it counts only from peers that the server trusts: those of ``environ['wsdriver.trusted_proxies']``, which
a server sets that knows them, else those of the variable FORWARDED_ALLOW_IPS, as in gunicorn and uvicorn.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

__all__ = ["TRUSTED_PROXIES", "is_forwarded_secure", "is_trusted_proxy"]

log = logging.getLogger("wsdriver")

#: Where the environ holds addresses and networks: a list, or one str with commas; ``'*'`` is everybody.
TRUSTED_PROXIES = "wsdriver.trusted_proxies"

#: Trusted where nobody says otherwise: what runs on this machine.
_LOOPBACK = "127.0.0.1,::1"

#: The headers in which proxies tell of TLS, and the values that do.
_HEADERS = (
    ("HTTP_X_FORWARDED_PROTO", ("https", "wss")),
    ("HTTP_X_FORWARDED_SSL", ("on",)),
    ("HTTP_X_FORWARDED_SCHEME", ("https", "wss")),
)


def is_forwarded_secure(environ: Mapping[str, Any]) -> bool:
    """Tell whether a trusted proxy says that its client came over TLS.

    The first header that is there decides: behind a proxy that sets one, the others may be the client's. Of a list,
    the first value does: that is the proxy which the client spoke to.
    """
    for name, secure in _HEADERS:
        value = environ.get(name)
        if value:
            return value.partition(",")[0].strip().lower() in secure and is_trusted_proxy(environ)
    return False


def is_trusted_proxy(environ: Mapping[str, Any]) -> bool:
    """Tell whether the peer's forwarded headers are believed."""
    peer = environ.get("REMOTE_ADDR")
    if peer is None:  # nobody knows who it is
        return False
    if peer == "":  # a Unix socket: who may connect is a matter of its permissions
        return True
    trusted = environ.get(TRUSTED_PROXIES)
    if trusted is None:
        trusted = os.environ.get("FORWARDED_ALLOW_IPS", _LOOPBACK)
    return _is_listed(peer, trusted if isinstance(trusted, str) else tuple(trusted))


@lru_cache(maxsize=256)  # proxies are few, and ipaddress is slow
def _is_listed(peer: str, trusted: str | tuple[str, ...]) -> bool:
    networks = _parse_networks(trusted)
    if networks is None:
        return True
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:  # a socket that listens to both
        address = address.ipv4_mapped
    return any(address in network for network in networks)


@lru_cache(maxsize=16)
def _parse_networks(trusted: str | tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...] | None:
    """Return the networks of a list, an address being a network of one; None for everybody."""
    members = trusted.split(",") if isinstance(trusted, str) else trusted
    names = [name for name in map(str.strip, members) if name]
    if "*" in names:
        return None
    networks = []
    for name in names:
        try:
            networks.append(ip_network(name, strict=False))
        except ValueError:
            log.warning("%r among the trusted proxies is no address or network: nobody is trusted by it", name)
    return tuple(networks)
