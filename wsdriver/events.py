"""The events of a driver or a WebSocket, and the emitter that hands them to listeners."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar, cast

__all__ = [
    "CloseEvent",
    "ConnectEvent",
    "Emitter",
    "MessageEvent",
    "OpenEvent",
    "PingEvent",
    "PongEvent",
    "check_event",
]

#: A listener takes what its event carries; what it returns is dropped.
Listener = Callable[..., object]
L = TypeVar("L", bound=Listener)

EVENTS = ("connect", "open", "message", "ping", "pong", "error", "close")


@dataclass(frozen=True, slots=True)
class ConnectEvent:
    """The request's head (or a proxy's answer) is complete."""


@dataclass(frozen=True, slots=True)
class OpenEvent:
    """The opening handshake is done: messages may flow."""


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """A whole message: ``data`` is str for text and bytes for binary."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class PingEvent:
    """The peer's ping, with its payload; the pong has been sent already."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PongEvent:
    """The peer's pong, with its payload."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CloseEvent:
    """The end: ``code`` and ``reason`` as RFC 6455 §7.1.5 defines them.

    1005 stands for a close frame without a code, 1006 for a connection that ended without a close frame.
    ``was_clean`` is true when close frames went both ways.
    """

    code: int
    reason: str
    was_clean: bool = False


def check_event(event: str, events: tuple[str, ...] = EVENTS) -> None:
    """Refuse a misspelt event name.

    Raises:
        ValueError: there is no such event.
    """
    if event not in events:
        raise ValueError(f"there is no event {event!r}; the events are {', '.join(events)}")


class Emitter:
    """Listeners by event name; they are called in the order in which they were added.

    The dictionary is made with the first listener: most connections never have one.

    Attributes:
        events: the names of the events that there are, by class.
    """

    __slots__ = ("_listeners",)

    events: ClassVar[tuple[str, ...]] = EVENTS

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] | None = None

    # No overloads, which a compiled class cannot have: whoever passes a callback has no use for what comes back.
    def on(self, event: str, callback: Listener | None = None) -> Callable[[L], L]:
        """Call ``callback`` at each event of that name; without a callback, act as a decorator.

        Raises:
            ValueError: there is no such event.
        """
        check_event(event, self.events)

        def add(listener: L) -> L:
            if self._listeners is None:
                self._listeners = {}
            self._listeners.setdefault(event, []).append(listener)
            self._added(event)
            return listener

        return add if callback is None else cast("Callable[[L], L]", add(callback))

    def off(self, event: str, callback: Listener | None = None) -> None:
        """Remove a listener, or all of that event."""
        check_event(event, self.events)
        if self._listeners is None:
            return
        if callback is None:
            self._listeners.pop(event, None)
            return
        listeners = self._listeners.get(event, [])
        if callback in listeners:
            listeners.remove(callback)
        if not listeners:
            self._listeners.pop(event, None)

    def has_listeners(self, event: str) -> bool:
        """Tell whether anybody listens to that event."""
        return self._listeners is not None and event in self._listeners

    def count(self, event: str) -> int:
        """Return how many listeners an event has."""
        return 0 if self._listeners is None else len(self._listeners.get(event, ()))

    def _added(self, event: str) -> None:
        """Take note of a new listener."""

    def emit(self, event: str, *arguments: object) -> None:
        """Call the listeners of ``event``. What a listener raises goes to the caller."""
        if self._listeners is None:
            return
        for listener in tuple(self._listeners.get(event, ())):
            listener(*arguments)
