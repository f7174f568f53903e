"""A channel's messages, for a program's own use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent import spawn

from wsdriver.green.channel.feed import Feed
from wsdriver.green.channel.position import Position
from wsdriver.green.native import start_thread
from wsdriver.green.waking import hub_here
from wsdriver.log import log

if TYPE_CHECKING:
    from wsdriver.green.channel.room import Room

__all__ = ["Subscription"]


class Subscription:
    """What :meth:`wsdriver.Channel.subscribe` returns: an iterator, and a context manager that closes it."""

    def __init__(self, room: Room, since: Position | None, limit: int) -> None:
        self._feed = Feed(room, since, limit, False)
        self._room = room
        room.wait_until_listening()

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message.

        Args:
            timeout: seconds to wait at most; 0 only looks.

        Returns:
            str or bytes, as it was published; None once the subscription is closed.

        Raises:
            TimeoutError: nothing came in time; nothing is lost.
            RuntimeError: this subscriber is more than ``limit`` messages behind, and gets no more; or another greenlet
                is waiting in receive() already.
        """
        entry = self._feed.next(timeout)
        return None if entry is None else entry.message

    def __iter__(self) -> Subscription:
        return self

    def __next__(self) -> str | bytes:
        message = self.receive()
        if message is None:
            raise StopIteration
        return message

    @property
    def id(self) -> str | None:
        """The position after the last message that this one gave, for ``since=``; None where nothing is kept."""
        return None if self._feed.position is None else str(self._feed.position)

    def close(self) -> None:
        """End it: iteration stops, and a call that waits returns None. Closing twice is harmless."""
        self._feed.close()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _call(self, callback: Callable[[Any], object]) -> None:
        """Have it called with each message: in a greenlet, or in a thread where the caller is in one without a hub."""
        if hub_here() is None:
            start_thread(self._run, (callback,))
        else:
            spawn(self._run, callback)

    def _run(self, callback: Callable[[Any], object]) -> None:
        try:
            for message in self:
                try:
                    callback(message)
                except Exception:
                    log.exception("error in a subscriber of a channel")
        except RuntimeError as error:
            log.error("%s", error)
        finally:
            self.close()
