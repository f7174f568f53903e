"""The messages of a channel as one reader gets them: first those that it missed, then as they come, none twice."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from wsdriver.green.channel.position import START, Entry, Position
from wsdriver.green.waking import Signal, time_left

if TYPE_CHECKING:
    from wsdriver.green.channel.room import Room

__all__ = ["Feed", "Inbox"]

#: Messages that are read from what is kept in one go.
BATCH = 100


class Inbox:
    """What waits for one reader. Others put in, under the channel's lock, and from any thread.

    Attributes:
        overflowed: more than ``limit`` came, and were dropped.
    """

    __slots__ = ("__weakref__", "entries", "limit", "overflowed", "signal")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.entries: deque[Entry] = deque()
        self.overflowed = False
        self.signal: Signal | None = None

    def put(self, entry: Entry) -> None:
        """Add a message."""
        if self.overflowed or len(self.entries) >= self.limit:
            self.overflowed = True
            self.entries.clear()
        else:
            self.entries.append(entry)
        self.wake()

    def wake(self) -> None:
        """Have the reader look."""
        if self.signal is not None:
            self.signal.set()


class Feed:
    """Reads a room; one reader at a time.

    Args:
        room: which keeps the inbox until :meth:`close`, or until this is gone.
        since: where to begin; None for now.
        limit: how many messages may wait.
        patient: whether it reads again from what is kept when more came, instead of giving up.

    Attributes:
        position: after the last message that it gave; None where nothing is kept.
        closed: it gives no more.
    """

    def __init__(self, room: Room, since: Position | None, limit: int, patient: bool) -> None:
        self.position = since
        self.closed = False
        self.inbox = Inbox(limit)
        self._room = room
        self._patient = patient
        self._replaying = since is not None
        self._replayed: deque[Entry] = deque()
        self._read_to = START
        #: What this process had published by itself before: it comes out of the stream, or never.
        self._settled_by = room.attach(self.inbox)

    @property
    def is_caught_up(self) -> bool:
        """Whether nothing waits any more."""
        return not (self._replaying or self._replayed or self.inbox.entries or self.inbox.overflowed)

    def close(self, _connection: object = None) -> None:
        """End it, also for one that waits in :meth:`next`."""
        self.closed = True
        self._room.detach(self.inbox)
        self.inbox.wake()

    def next(self, timeout: float | None = None, only_missed: bool = False) -> Entry | None:
        """Wait for the next message.

        Args:
            timeout: seconds to wait at most.
            only_missed: return None rather than wait for one that has not been published yet.

        Returns:
            None once it is closed.

        Raises:
            TimeoutError: nothing came in time.
            RuntimeError: it fell behind; or another one is waiting in it.
        """
        deadline = None if timeout is None else monotonic() + timeout
        while not self.closed:
            if not self._replayed and self._replaying:
                self._read(deadline)
            with self._room.lock:
                entry = self._take()
                if entry is None and not self._replaying and not self.closed:
                    if only_missed:
                        return None
                    if self.inbox.signal is not None:
                        raise RuntimeError("another one is waiting for this subscription's messages already")
                    self.inbox.signal = Signal()
            if entry is not None:
                is_new = self.position is None or not self.position.has(entry)
                self._advance(entry)
                if is_new:
                    return entry
            elif self.inbox.signal is not None:
                self._wait(deadline, timeout)
        return None

    def _take(self) -> Entry | None:
        if self._replayed:
            return self._replayed.popleft()
        if self._replaying:
            return None
        if self.inbox.overflowed:
            if not self._patient or self.position is None:
                raise RuntimeError(f"the subscriber is more than {self.inbox.limit} messages behind, and was ended")
            self.inbox.overflowed = False
            self._settled_by = self._room.published
            self._read_to = START
            self._replaying = True
            return None
        return self.inbox.entries.popleft() if self.inbox.entries else None

    def _wait(self, deadline: float | None, timeout: float | None) -> None:
        signal = self.inbox.signal
        assert signal is not None
        try:
            if not signal.wait(time_left(deadline)):
                raise TimeoutError(f"no message came within {timeout} seconds")
        finally:
            self.inbox.signal = None

    def _read(self, deadline: float | None) -> None:
        """Read on in what is kept."""
        assert self.position is not None
        entries, last = self._room.read(self, max(self.position.id, self._read_to), BATCH, self._settled_by, deadline)
        self._replayed.extend(entries)
        if last is not None:
            self._read_to = last
        else:
            self._replaying = False
            newest = self._room.newest()
            if not entries and newest is not None and self.position.id > newest:
                # It was made up: nothing is there yet. What comes is not to be taken for had.
                self.position = Position(newest, self.position.ahead)

    def _advance(self, entry: Entry) -> None:
        if entry.position is None:
            return
        own = self._room.publisher
        if self.position is None:
            self.position = entry.position
            return
        ahead = [item for item in self.position.ahead if item[0] != entry.publisher or item[1] > entry.number]
        if entry.id is not None and entry.publisher == own and own:
            ahead.append((own, entry.number))  # it may wait in the inbox as well
        id_ = max(self.position.id, entry.position.id)
        self.position = Position(id_, entry.position.ahead).with_ahead(tuple(ahead))
