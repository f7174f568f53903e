"""The connections of one hub that are members of a channel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from gevent import spawn
from gevent.hub import Hub

from wsdriver.green.broadcasting import broadcast
from wsdriver.green.channel.position import Entry
from wsdriver.green.loop import call_in_hub, call_soon, is_io_hub
from wsdriver.green.sockio import get_ident
from wsdriver.green.waking import Turn, hub_here
from wsdriver.log import log

__all__ = ["Audience", "Encode", "Manner"]

#: Makes what a member gets of a message and its id.
Encode = Callable[[Any, "str | None"], Any]


class Manner(NamedTuple):
    """What the members that get the same bytes have in common.

    Attributes:
        encode: makes what they get of a message; None for the message itself.
        slow: what happens to one that does not keep up.
        ahead: messages that they had before they came in: see :class:`~wsdriver.green.channel.position.Position`.
    """

    encode: Encode | None
    slow: str
    ahead: tuple[tuple[str, int], ...] = ()


class Audience:
    """The members of a channel that belong to one hub.

    Messages are handed over under the channel's lock, so that they are in the same order everywhere, and sent in the
    hub's thread, to all members with the same manner at once.

    Attributes:
        manners: of each member; None while it is being told what it missed.
        handed: what is to be sent.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.manners: dict[Any, Manner | None] = {}
        self.handed: deque[Entry] = deque()
        self._groups: dict[Manner, dict[Any, None]] = {}
        self._sending = False

    def add(self, connection: Any, manner: Manner) -> None:
        """Have a connection get what is handed over from now on. (Under the channel's lock.)"""
        self.manners[connection] = manner
        self._groups.setdefault(manner, {})[connection] = None

    def discard(self, connection: Any) -> None:
        """Forget a connection. (Under the channel's lock.)"""
        manner = self.manners.pop(connection, None)
        if manner is not None:
            group = self._groups[manner]
            del group[connection]
            if not group:
                del self._groups[manner]

    @property
    def is_idle(self) -> bool:
        """Whether all that was handed over has been sent."""
        return not (self.handed or self._sending)

    def deliver(self) -> None:
        """See that what was handed over is sent: before this returns, where no deadlock can come of it."""
        if get_ident() == self.hub.thread_ident:
            self.send()
        elif is_io_hub(self.hub) or hub_here() is None:
            call_in_hub(self.hub, self.send)
        else:
            # Two hubs' threads must not wait for each other.
            call_soon(self.hub, spawn, self.send)

    def send(self) -> None:
        """Send what has been handed over by now; in the hub's thread, and waiting for nobody."""
        if self._sending:
            return  # broadcast() lets others have their turn, or ``encode`` publishes: the other goes on with it
        self._sending = True
        try:
            turn = Turn()
            for _ in range(len(self.handed)):
                entry = self.handed.popleft()
                for manner, group in tuple(self._groups.items()):
                    self._send(entry, manner, tuple(group))
                turn.pause_if_long()
        finally:
            self._sending = False
        if self.handed:
            spawn(self.send)  # others have gone on meanwhile; this one has done its part

    def _send(self, entry: Entry, manner: Manner, connections: tuple[Any, ...]) -> None:
        message: Any = entry.message
        position = entry.position
        for publisher, number in manner.ahead:
            if publisher == entry.publisher and entry.number <= number:
                return
        id_ = None if position is None else str(position.with_ahead(manner.ahead))
        try:
            if manner.encode is not None:
                message = manner.encode(message, id_)
            broadcast(connections, message, slow=manner.slow, id=id_)
        except Exception:
            log.exception("a channel's message could not be sent")
