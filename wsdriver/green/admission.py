"""How many connections a server takes, in all and from one address."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address

from wsdriver.exceptions import HandshakeError
from wsdriver.options import check_int

__all__ = ["Admission", "check_limit"]

#: Seconds after which who was turned away may come again.
RETRY_AFTER = "5"


def check_limit(name: str, value: object) -> None:
    """Refuse what is neither None, for no limit, nor a number of connections."""
    if value is not None:
        check_int(name, value, 1)


class Admission:
    """Those that have been let in, counted.

    Args:
        most: how many may be in at a time; None for any number.
        most_per_host: how many of one address; of IPv6, of one network of 64 bits, which is what a customer gets.

    Attributes:
        limited: whether there is any limit; where there is none, nobody need enter.
    """

    __slots__ = ("_by_host", "_hosts", "_most", "_most_per_host", "limited")

    def __init__(self, most: int | None, most_per_host: int | None) -> None:
        self.limited = most is not None or most_per_host is not None
        self._most = most
        self._most_per_host = most_per_host
        self._hosts: dict[object, str] = {}  # by guest
        self._by_host: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._hosts)

    def enter(self, guest: object, host: str | None) -> None:
        """Let a connection in.

        Args:
            guest: which leaves later.
            host: the address of its peer. On a Unix socket, which has none, and where a proxy does not say it, there
                are no hosts to tell apart.

        Raises:
            HandshakeError: there is no room: 429 (RFC 6585 §4) where its own host takes it, else 503.
        """
        host = _network_of(host) if host and self._most_per_host is not None else ""
        if host and self._by_host.get(host, 0) >= (self._most_per_host or 0):
            raise HandshakeError(
                f"there are as many connections from your address as may be: {self._most_per_host}"
                " (max_connections_per_ip)",
                429,
                {"Retry-After": RETRY_AFTER},
            )
        if self._most is not None and len(self._hosts) >= self._most:
            raise HandshakeError(
                f"the server has as many connections as it takes: {self._most} (max_connections)",
                503,
                {"Retry-After": RETRY_AFTER},
            )
        self._hosts[guest] = host
        self._by_host[host] += 1

    def leave(self, guest: object) -> None:
        """Make room again, if it was in."""
        host = self._hosts.pop(guest, None)
        if host is not None:
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]


def _network_of(host: str) -> str:
    """Return what counts as one address."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host)
    except ValueError:
        return host
    mapped = address.ipv4_mapped
    return str(mapped) if mapped is not None else address.packed[:8].hex()
