"""How many connections a server takes, in all and from one address."""

from __future__ import annotations

from collections import Counter
from typing import Any

from wsdriver.exceptions import HandshakeError

__all__ = ["Admission"]

#: Seconds after which who was turned away may come again.
RETRY_AFTER = "5"


class Admission:
    """Those that have been let in, counted.

    Args:
        most: how many may be in at a time; None for any number.
        most_per_host: how many of one address.
    """

    __slots__ = ("_by_host", "_hosts", "_most", "_most_per_host")

    def __init__(self, most: int | None, most_per_host: int | None) -> None:
        self._most = most
        self._most_per_host = most_per_host
        self._hosts: dict[Any, str] = {}  # by guest
        self._by_host: Counter[str] = Counter()

    def enter(self, guest: object, address: Any) -> None:
        """Let a connection in.

        Args:
            guest: which leaves later.
            address: of its peer; on a Unix socket, where it is no tuple, there are no hosts to tell apart.

        Raises:
            HandshakeError: there is no room: 429 (RFC 6585 §4) where its own host takes it, else 503.
        """
        if self._most is None and self._most_per_host is None:
            return
        host = address[0] if isinstance(address, tuple) else ""
        if host and self._most_per_host is not None and self._by_host.get(host, 0) >= self._most_per_host:
            raise HandshakeError("there are too many connections from your address", 429, {"Retry-After": RETRY_AFTER})
        if self._most is not None and len(self._hosts) >= self._most:
            raise HandshakeError("the server has as many connections as it takes", 503, {"Retry-After": RETRY_AFTER})
        self._hosts[guest] = host
        self._by_host[host] += 1

    def leave(self, guest: object) -> None:
        """Make room again, if it was in."""
        host = self._hosts.pop(guest, None)
        if host is not None:
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]
