"""What all Channel objects of one name in one process share: members, subscribers, and what is kept."""

from __future__ import annotations

from collections import deque
from itertools import islice
from time import time
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from gevent.hub import Hub

from wsdriver.green.channel.audience import Audience, Manner
from wsdriver.green.channel.position import START, Entry, Id, Position
from wsdriver.green.loop import call_in_hub
from wsdriver.green.native import allocate_lock

if TYPE_CHECKING:
    from wsdriver.green.channel.feed import Feed, Inbox

__all__ = ["BACKLOG_OF_JOINER", "Room"]

#: Messages that may wait for a member while it is told what it missed; then they are read from what is kept.
BACKLOG_OF_JOINER = 1000


class Room:
    """A channel in this process.

    Attributes:
        lock: held, and never while anything waits, where messages are handed over and members change.
        publisher: who publishes here, for others; ``""`` where there are none.
        published: how many messages were.
        history: how many messages are kept.
    """

    def __init__(self, history: int) -> None:
        self.lock = allocate_lock()
        self.history = history
        self.publisher = ""
        self.published = 0
        self._kept: deque[Entry] = deque()
        self._last: Id = START
        self._audiences: dict[Hub, Audience] = {}
        self._inboxes: WeakSet[Inbox] = WeakSet()

    # --- messages ---------------------------------------------------------------------------------------------------

    def publish(self, message: str | bytes, backlog: int) -> str | None:
        """Deliver a message; returns its id, where messages are kept."""
        with self.lock:
            self.published += 1
            if self.history:
                now = int(time() * 1000)
                last = self._last
                self._last = (now, 0) if now > last[0] else (last[0], last[1] + 1)
                entry = Entry(message, self._last, "", self.published, Position(self._last))
                self._kept.append(entry)
                while len(self._kept) > self.history:
                    self._kept.popleft()
            else:
                entry = Entry(message, None, "", self.published, None)
            audiences = self._hand_over(entry)
        for audience in audiences:
            audience.deliver()
        return None if entry.position is None else str(entry.position)

    def _hand_over(self, entry: Entry) -> tuple[Audience, ...]:
        """Give a message to all. (Under the lock; what is returned has to deliver it then, without.)"""
        for inbox in tuple(self._inboxes):
            inbox.put(entry)
        audiences = tuple(self._audiences.values())
        for audience in audiences:
            audience.handed.append(entry)
        return audiences

    @property
    def position(self) -> Position | None:
        """Of who has all that has been delivered here; None where nothing is kept."""
        return Position(self._last) if self.history else None

    def read(
        self, feed: Feed, after: Id, count: int, published: int, deadline: float | None
    ) -> tuple[list[Entry], Id | None]:
        """Return what is kept after an id, the first ones; and how far that is, or None where it is all.

        Args:
            feed: for which it is; an end of it is an end of waiting.
            after: the id.
            count: how many at most.
            published: how many messages of this process have to be among those that are kept, if they ever will be.
            deadline: for waiting.
        """
        with self.lock:
            entries = list(islice((entry for entry in self._kept if entry.id is not None and entry.id > after), count))
        return entries, entries[-1].id if len(entries) == count else None

    def newest(self) -> Id | None:
        """Return the id of the last message that everybody here has got as far as; None where that is not known."""
        return self._last

    def has_read(self, position: Position) -> bool:
        """Tell whether everybody here has got as far as that."""
        return True

    @property
    def connected(self) -> bool:
        """Whether what is published here reaches all."""
        return True

    # --- who listens ------------------------------------------------------------------------------------------------

    def attach(self, inbox: Inbox) -> int:
        """Put all that comes from now on into an inbox; returns how many messages this process had published."""
        with self.lock:
            self._inboxes.add(inbox)
            self._listeners_changed()
            return self.published

    def detach(self, inbox: Inbox) -> None:
        """Put no more into an inbox."""
        with self.lock:
            self._inboxes.discard(inbox)
            self._listeners_changed()
        self._wake()

    def _listeners_changed(self) -> None:
        """Somebody has come or gone. (Under the lock.)"""

    def _wake(self) -> None:
        """Have what was asked for under the lock done."""

    def wait_until_listening(self) -> None:
        """Return when nothing that others publish is missed any more, or Redis is away."""

    @property
    def members(self) -> tuple[Any, ...]:
        """All of this process."""
        return tuple(
            connection for audience in tuple(self._audiences.values()) for connection in tuple(audience.manners)
        )

    def add(self, connection: Any, manner: Manner | None) -> bool:
        """Make a connection a member, or, without a manner, one that will be; False where it is one already."""
        with self.lock:
            audience = self._audiences.get(connection._hub)
            if audience is None:
                audience = self._audiences[connection._hub] = Audience(connection._hub)
            if connection in audience.manners:
                return False
            if manner is None:
                audience.manners[connection] = None
            else:
                audience.add(connection, manner)
            self._listeners_changed()
        connection._at_release(self.discard)
        return True

    def discard(self, connection: Any) -> None:
        """Forget a connection."""
        with self.lock:
            audience = self._audiences.get(connection._hub)
            if audience is not None:
                audience.discard(connection)
                if not audience.manners:
                    del self._audiences[connection._hub]
                self._listeners_changed()
        self._wake()

    def remove(self, connection: Any) -> None:
        """Let a member go that goes on living."""
        self.discard(connection)
        connection._forget_release(self.discard)

    def has(self, connection: Any) -> bool:
        """Tell whether it is a member, or on the way to be one."""
        audience = self._audiences.get(connection._hub)
        return audience is not None and connection in audience.manners

    def admit(self, connection: Any, manner: Manner, feed: Feed) -> bool:
        """Make one that has got all that it missed a full member; False where more has come meanwhile."""
        if connection._is_elsewhere():
            admitted: bool = call_in_hub(connection._hub, self._admit, connection, manner, feed)
            return admitted
        return self._admit(connection, manner, feed)

    def _admit(self, connection: Any, manner: Manner, feed: Feed) -> bool:
        audience = self._audiences.get(connection._hub)
        if audience is None:
            return True  # it has left
        audience.send()
        with self.lock:
            if not audience.is_idle or not feed.is_caught_up or (feed.position and not self.has_read(feed.position)):
                return False
            self._inboxes.discard(feed.inbox)
            self._listeners_changed()
            if connection in audience.manners:
                ahead = () if feed.position is None else feed.position.ahead
                foreign = tuple(item for item in ahead if item[0] != self.publisher)
                audience.add(connection, manner._replace(ahead=foreign))
            return True
