"""What a driver wants of those around it."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Observer", "Socket"]


class Socket(Protocol):
    """What a driver writes to."""

    url: str

    def write(self, data: bytes, /) -> object:
        """Take bytes for the peer."""


class Observer(Protocol):
    """Who drives a driver without listeners."""

    def driver_event(self, name: str, event: object) -> None:
        """Hear of a rare event: connect, open, full, error, close. It may not call back into the driver's parse."""

    def is_blocked(self) -> bool:
        """Tell whether the outbox waits for a slow peer."""
