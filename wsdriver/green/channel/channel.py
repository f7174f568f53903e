"""One message to all who listen: in this process, or in all that share a Redis."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from wsdriver.exceptions import ConfigurationError, ConnectionClosed
from wsdriver.green.channel.audience import Encode, Manner
from wsdriver.green.channel.feed import Feed
from wsdriver.green.channel.position import Position
from wsdriver.green.channel.room import BACKLOG_OF_JOINER, Room
from wsdriver.green.channel.rooms import check_url, room_of
from wsdriver.green.channel.subscription import Subscription
from wsdriver.green.eventsource import EventSource
from wsdriver.green.transport import Transport
from wsdriver.green.waking import Signal
from wsdriver.options import check_int

__all__ = ["Channel"]

#: Seconds between looks at whether this process has got as far as a member that was told what it missed.
MOMENT = 0.02


class Channel:
    """A name under which messages are published to WebSockets, event streams and subscribers.

    ::

        lobby = wsdriver.Channel("lobby")

        def app(environ, start_response):
            ws = wsdriver.WebSocket(environ)
            lobby.join(ws)
            for message in ws:
                lobby.publish(message)  # to all members, this one too
            return ws.wsgi_response()

    Without a URL this is for one process. With the URL of a Redis, or with CHANNEL_URL in the environment, all that
    share this Redis share the channel: workers, servers, machines. Channels of the same name are the same channel, as
    many objects as there are. Nothing is connected before the first use, so that a channel of a module is safe where a
    server forks. Used first in the main thread, it belongs to the main thread's gevent, which has to run.

    While Redis is away, those in this process go on getting what is published here, and it connects again by itself.
    What others publish meanwhile is missed, unless the channel has a ``history``.

    With ``history`` the last messages are kept, in a Redis Stream or in this process: who comes back is told what it
    missed (``since``, or an event stream's Last-Event-ID), nothing of it twice.

    Args:
        name: of the channel.
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py has them; ``""`` for this process only; None for
            the environment's CHANNEL_URL, or else this process.
        history: how many messages are kept, at least. All who share a channel have to say the same.
        backlog: how many messages may wait while Redis is away.
        slow: what happens to members that do not keep up: ``"close"`` or ``"skip"``, see :func:`wsdriver.broadcast`.
        namespace: what this channel's names in Redis begin with.

    Raises:
        ConfigurationError: a wrong value; or redis-py is missing.
    """

    def __init__(
        self,
        name: str,
        url: str | None = None,
        *,
        history: int = 0,
        backlog: int = 0,
        slow: str = "close",
        namespace: str = "wsdriver",
    ) -> None:
        for what, value in (("name", name), ("namespace", namespace)):
            if not isinstance(value, str) or not value:
                raise ConfigurationError(f"a channel's {what} must be a str that is not empty, not {value!r}")
        if url is None:
            url = os.environ.get("CHANNEL_URL", "")
        elif not isinstance(url, str):
            raise ConfigurationError(f"a channel's url must be a str, not {type(url).__name__}")
        if url:
            check_url(url)
        check_int("history", history, 0)
        check_int("backlog", backlog, 0)
        if slow not in ("close", "skip"):
            raise ConfigurationError(f"slow must be 'close' or 'skip', not {slow!r}")
        self.name = name
        self._url = url
        self._namespace = namespace
        self._history = history
        self._backlog = backlog
        self._slow = slow
        self._pid = 0
        self._kept_room: Room | None = None

    def __repr__(self) -> str:
        return f"<Channel {self.name!r}>"

    @property
    def _room(self) -> Room:
        # After a fork, this is another process.
        if self._kept_room is None or self._pid != os.getpid():
            self._kept_room = room_of(self._url, self._namespace, self.name, self._history)
            self._pid = os.getpid()
        return self._kept_room

    # --- publishing -------------------------------------------------------------------------------------------------

    def publish(self, message: str | bytes | bytearray | memoryview) -> str | None:
        """Send a message to all members and subscribers. Any greenlet and any thread may.

        Members and subscribers in this process are sent it at once, whatever becomes of Redis. With Redis, this
        returns when Redis has it, or when it waits in the ``backlog``.

        Args:
            message: str arrives as str, and goes to WebSockets as text; bytes-like arrives as bytes.

        Returns:
            the message's id, where messages are kept and it has one already; else None.

        Raises:
            TypeError: the message is neither str nor bytes-like.
            ConnectionError: it was not published at Redis, and no room is left in the ``backlog``; it says why. Those
                in this process have got it all the same. (Without a backlog, a message that was on its way when Redis
                went is tried again for some seconds, and then nobody knows: who publishes again had better have one.)
        """
        if isinstance(message, (bytearray, memoryview)):
            message = bytes(message)
        if not isinstance(message, (str, bytes)):
            raise TypeError(f"publish() takes str or bytes, not {type(message).__name__}")
        return self._room.publish(message, self._backlog)

    # --- members ----------------------------------------------------------------------------------------------------

    def join(self, connection: Any, since: str | None = None, encode: Encode | None = None) -> bool:
        """Make a WebSocket or an EventSource a member: it is sent every message, until it leaves or ends.

        A WebSocket whose handshake has not gone out yet is accepted, once nothing is missed any more: its client gets
        every message from the moment that it is open. Joining twice is harmless.

        Where messages are kept, and the connection says what it had last, it is first sent what it missed: here, and
        waiting for a slow peer. (While Redis is away, it waits for Redis too.)

        Args:
            connection: the member. An EventSource's events carry their id, so that the browser says it when it comes
                back.
            since: the id of the last message that it had; ``"0"`` for all that is kept; None for an EventSource's
                ``last_event_id``.
            encode: ``encode(message, id)`` makes what this member gets, once for all members with the same function:
                so can a WebSocket's client learn the ids.

        Returns:
            whether it is a member: one that has ended already is none.

        Raises:
            ValueError: ``since`` is no id.
            ConfigurationError: ``since`` is given, and nothing is kept: ``history`` is 0.
            TypeError: it is neither WebSocket nor EventSource.
        """
        if not isinstance(connection, Transport):
            raise TypeError(f"a member is a WebSocket or an EventSource, not {type(connection).__name__}")
        if encode is not None and not callable(encode):
            raise TypeError(f"encode must be callable, not {encode!r}")
        position = self._position(since)
        if position is None and isinstance(connection, EventSource) and self._history and connection.last_event_id:
            try:
                position = Position.parse(connection.last_event_id)
            except ValueError:
                pass  # of another stream, or made up
        room = self._room
        manner = Manner(encode, self._slow)
        # (Before it is open it is sent nothing. So its client misses nothing from the moment that it is.)
        is_new = room.add(connection, manner if position is None else None)
        try:
            room.wait_until_listening()
            if not connection.accept():
                room.remove(connection)
            elif is_new and position is not None:
                self._replay(room, connection, manner, position)
        except ConnectionClosed:
            pass
        except BaseException:
            if is_new:
                room.remove(connection)
            raise
        return room.has(connection)

    def _replay(self, room: Room, connection: Any, manner: Manner, since: Position) -> None:
        """Send a member what it missed, and then let it in."""
        feed = Feed(room, since, BACKLOG_OF_JOINER, True)
        connection._at_release(feed.close)
        try:
            room.wait_until_listening()
            while room.has(connection):
                entry = feed.next(only_missed=True)
                if entry is not None:
                    _send(connection, entry.message, str(feed.position), manner.encode)
                elif feed.closed or room.admit(connection, manner, feed):
                    return
                else:
                    Signal().wait(MOMENT)
        finally:
            feed.close()
            connection._forget_release(feed.close)

    def leave(self, connection: Any) -> None:
        """Let a member go. One that is none is let go too."""
        if isinstance(connection, Transport):
            self._room.remove(connection)

    @property
    def members(self) -> tuple[Any, ...]:
        """The members in this process, as they are now."""
        return self._room.members

    # --- subscribers ------------------------------------------------------------------------------------------------

    def subscribe(
        self, callback: Callable[[Any], object] | None = None, *, since: str | None = None, limit: int = 10_000
    ) -> Subscription:
        """Receive the messages oneself.

        ::

            with channel.subscribe() as messages:
                for message in messages:
                    ...

        Args:
            callback: called with each message, one at a time and in order, in a greenlet of its own; an error in it is
                logged. Without one, ask the subscription: ``receive()``, or iterate.
            since: the id of the last message that the subscriber had: it goes on from there.
            limit: how many messages may wait: a subscriber that is further behind is ended with a RuntimeError.

        Raises:
            ValueError: ``since`` is no id.
            ConfigurationError: a wrong limit; or ``since`` is given, and nothing is kept.
        """
        check_int("limit", limit, 1)
        if callback is not None and not callable(callback):
            raise TypeError(f"the callback must be callable, not {callback!r}")
        subscription = Subscription(self._room, self._position(since), limit)
        if callback is not None:
            subscription._call(callback)
        return subscription

    def _position(self, since: str | None) -> Position | None:
        if since is None:
            return None
        position = Position.parse(since)
        if not self._history:
            raise ConfigurationError("since needs a channel that keeps messages: history is 0")
        return position

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The position after the last message that was delivered in this process, for ``since=``; None where nothing
        is kept, or nobody listens here.
        """
        position = self._room.position
        return None if position is None else str(position)

    @property
    def connected(self) -> bool:
        """Whether what is published here reaches the other processes now; True where there are none."""
        return self._room.connected


def _send(connection: Any, message: Any, id_: str, encode: Encode | None) -> None:
    """Send one member one message, and wait for it."""
    if encode is not None:
        message = encode(message, id_)
    if not isinstance(connection, EventSource):
        connection.send(message)
    elif isinstance(message, str):
        connection.send(message, id=id_)
