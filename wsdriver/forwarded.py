"""What a reverse proxy says of its client's connection, and which peers are believed.

A proxy that ends TLS speaks plain HTTP to us, and says in a header that the client did not; in another, who the client
is. Any client can send such headers too, so they count only from peers that the server trusts: those of
``environ['wsdriver.trusted_proxies']``, which a server sets that knows them, else those of the variable
FORWARDED_ALLOW_IPS, as in gunicorn and uvicorn.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from wsdriver.exceptions import ConfigurationError
from wsdriver.log import log

__all__ = [
    "FORWARDED_HEADERS",
    "TRUSTED_PROXIES",
    "check_trusted",
    "client_host",
    "forwarded_client",
    "is_forwarded_secure",
    "is_trusted",
    "is_trusted_proxy",
    "says_secure",
]

#: Where the environ holds addresses and networks: a list, or one str with commas; ``'*'`` is everybody.
TRUSTED_PROXIES = "wsdriver.trusted_proxies"

#: Trusted where nobody says otherwise: what runs on this machine.
_LOOPBACK = "127.0.0.1,::1"

#: The headers in which proxies tell of TLS, and the values that do.
_HEADERS = (
    ("X-Forwarded-Proto", ("https", "wss")),
    ("X-Forwarded-Ssl", ("on",)),
    ("X-Forwarded-Scheme", ("https", "wss")),
)
#: All headers in which proxies tell of their client, in lower case.
FORWARDED_HEADERS = frozenset(name.lower() for name in ("X-Forwarded-For", *(name for name, _ in _HEADERS)))

_KEYS = {name: "HTTP_" + name.upper().replace("-", "_") for name, _ in _HEADERS}


def is_forwarded_secure(environ: Mapping[str, Any]) -> bool:
    """Tell whether a trusted proxy says that its client came over TLS."""
    return says_secure({name: environ.get(key) for name, key in _KEYS.items()}) and is_trusted_proxy(environ)


def says_secure(headers: Mapping[str, str | None]) -> bool:
    """Tell whether a proxy's headers say that its client came over TLS.

    The first header that is there decides: behind a proxy that sets one, the others may be the client's. Of a list,
    the first value does: that is the proxy which the client spoke to.
    """
    for name, secure in _HEADERS:
        value = headers.get(name)
        if value:
            return value.partition(",")[0].strip().lower() in secure
    return False


def is_trusted_proxy(environ: Mapping[str, Any]) -> bool:
    """Tell whether the peer's forwarded headers are believed."""
    return is_trusted(environ.get("REMOTE_ADDR"), environ.get(TRUSTED_PROXIES))


def client_host(environ: Mapping[str, Any]) -> str | None:
    """Return the client's address: what a trusted proxy says in X-Forwarded-For, else the peer's."""
    peer: str | None = environ.get("REMOTE_ADDR")
    values = environ.get("HTTP_X_FORWARDED_FOR")
    if values and is_trusted_proxy(environ):
        found = forwarded_client([values], environ.get(TRUSTED_PROXIES))
        return peer if found is None else found
    return peer


def is_trusted(peer: str | None, trusted: str | Iterable[str] | None) -> bool:
    """Tell whether a peer is one of the trusted proxies.

    Args:
        peer: its address; ``""`` on a Unix socket, None where nobody knows who it is.
        trusted: addresses and networks, as in the environ; None for those that the machine's environment names.
    """
    if peer is None:
        return False
    if peer == "":  # a Unix socket: who may connect is a matter of its permissions
        return True
    if trusted is None:
        trusted = os.environ.get("FORWARDED_ALLOW_IPS", _LOOPBACK)
    return _is_listed(peer, trusted if isinstance(trusted, str) else tuple(trusted))


def forwarded_client(values: Iterable[str], trusted: str | Iterable[str] | None) -> str | None:
    """Return the client's address of the X-Forwarded-For headers of a trusted proxy; None where they tell none.

    Each proxy adds the address of its own peer at the end; what stands before the first one that we do not trust,
    looking from there, is only what that one says. Where all are trusted, it is the first.

    Args:
        values: of the headers, in order.
        trusted: as for :func:`is_trusted`.
    """
    found = None
    for member in reversed(",".join(values).split(",")):
        address = _parse_forwarded(member.strip())
        if address is None:
            break  # "unknown", or nonsense: what is before it cannot be told from lies
        found = str(address)
        if not is_trusted(found, trusted):
            break
    return found


def check_trusted(trusted: object) -> str | tuple[str, ...]:
    """Return a list of trusted proxies as it is compared with.

    Raises:
        ConfigurationError: it is neither a str nor a list of str, or an entry is no address or network.
    """
    if not isinstance(trusted, (str, Iterable)):
        raise ConfigurationError(f"trusted_proxies must be a list such as ['10.0.0.0/8'], not {trusted!r}")
    members = trusted.split(",") if isinstance(trusted, str) else tuple(trusted)
    for name in members:
        try:
            if not isinstance(name, str):
                raise ValueError
            if name.strip() not in ("", "*"):
                ip_network(name.strip(), strict=False)
        except ValueError:
            raise ConfigurationError(f"trusted_proxies: {name!r} is no address or network") from None
    return tuple(members)


def _parse_forwarded(member: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a member of X-Forwarded-For; some proxies add a port, and then brackets around IPv6."""
    if member.startswith("["):
        member = member[1:].partition("]")[0]
    elif member.count(":") == 1:
        member = member.partition(":")[0]
    return _parse_address(member)


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:  # a socket that listens to both
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=256)  # proxies are few, and ipaddress is slow
def _is_listed(peer: str, trusted: str | tuple[str, ...]) -> bool:
    networks = _parse_networks(trusted)
    if networks is None:
        return True
    address = _parse_address(peer)
    return address is not None and any(address in network for network in networks)


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
