"""One message to many connections: made once for all that send the same bytes, and never waiting for one of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from gevent import get_hub, getcurrent

from wsdriver.exceptions import WebSocketError
from wsdriver.framing.eventstream import serialize_event
from wsdriver.framing.opcodes import BINARY, TEXT
from wsdriver.green.loop import call_in_hub
from wsdriver.green.transport import MAX_BURST, Transport
from wsdriver.green.waking import pass_turn
from wsdriver.log import log

if TYPE_CHECKING:
    from wsdriver.green.connection import Connection
    from wsdriver.green.eventsource import EventSource

__all__ = ["broadcast"]

#: Bytes that a small message counts for, by the time that it takes to send it.
MIN_COST = 2048

#: Bytes that went out since broadcasts last let others have their turn.
_burst = 0


class Broadcast:
    """A message on its way to many, as each kind of connection sends it.

    Attributes:
        opcode: of the message.
        data: its payload.
        later: whether the connections only take it, and are written to at the end of this turn of the loop.
        frames: the bytes on the wire, by the framing of those connections (``Driver.framing``); None where that cannot
            carry it.
    """

    __slots__ = ("_id", "_text", "data", "frames", "later", "opcode")

    def __init__(self, opcode: int, data: bytes, text: str | None, id: str | None) -> None:  # noqa: A002
        self.opcode = opcode
        self.data = data
        self.later = False
        self.frames: dict[Any, bytes | None] = {}
        self._text = text
        self._id = id

    def event(self) -> bytes | None:
        """Return it as an event of an event stream; None where it is no text."""
        if "event" not in self.frames:
            self.frames["event"] = None if self._text is None else serialize_event(self._text, None, self._id)
        return self.frames["event"]

    def deliver(self, connections: Iterable[Any], closes_slow: bool) -> int:
        """Send it to connections of this thread's hub; returns how many have taken it."""
        hub = get_hub()
        turn = _turns.get(hub)
        if turn is None:
            turn = _turns[hub] = _Turn()
        later = self.later = turn.begin(hub)
        due = turn.due
        count = 0
        for connection in connections:
            if connection._is_behind():
                if closes_slow:
                    connection._cut()
                continue
            try:
                if connection._broadcast(self):
                    count += 1
                    if later and not connection._due:
                        connection._due = True
                        due.append(connection)
            except WebSocketError as error:  # of an extension, which has failed that connection
                log.warning("a broadcast message could not be sent to one connection: %s", error)
        return count


class _Turn:
    """The broadcasts between two looks of a hub's loop at its sockets.

    The first one of a turn is written at once. What comes behind it, in the same turn, goes out with one system call
    for each connection, however many messages that is.

    Attributes:
        due: connections that have taken something which is not written yet.
    """

    __slots__ = ("_begun", "due")

    def __init__(self) -> None:
        self._begun = False
        self.due: list[Any] = []

    def begin(self, hub: Any) -> bool:
        """Note that there is one more broadcast; tells whether there has been another one in this turn."""
        begun, self._begun = self._begun, True
        if not begun:
            hub.loop.run_callback(self._end)
        return begun

    def _end(self) -> None:
        self._begun = False
        due, self.due = self.due, []
        for connection in due:
            connection._due = False
            if connection._sock is not None and not connection._write_blocked:
                connection._flush()


_turns: WeakKeyDictionary[Any, _Turn] = WeakKeyDictionary()


def broadcast(
    connections: Iterable[Connection | EventSource],
    message: str | bytes | bytearray | memoryview,
    binary: bool | None = None,
    *,
    slow: str = "close",
    id: str | None = None,  # noqa: A002  # as in EventSource.send
) -> int:
    """Send a message to many connections, without ever waiting for one of them.

    ::

        wsdriver.broadcast(server.connections, "hello")

    It is framed once for all WebSockets that frame alike, and compressed once for all that compress alike and keep no
    context between messages (``PermessageDeflate(no_context_takeover=True)``); large messages are not copied for each.
    An EventSource sends it as an event. Connections that are not open, and those that cannot carry it (binary messages:
    event streams and the hixie versions) are left out.

    After much has gone out, other greenlets have their turn before this returns.

    Args:
        connections: WebSockets and EventSources, also of other threads.
        message: str goes out as text, bytes-like as binary.
        binary: True or False to say otherwise: a str as binary, bytes of UTF-8 as text.
        slow: what happens to who has more than its ``outbound_limit`` waiting already: ``'close'`` cuts the
            connection, so that the peer comes back and knows that it missed something; ``'skip'`` leaves it out.
        id: of the event.

    Returns:
        how many have got it: it is in their buffers or beyond.

    Raises:
        TypeError: the message is neither str nor bytes-like, or something is no connection.
        ValueError: ``slow`` is neither word, or CR, LF or NUL in the id.
        UnicodeError: it cannot be text.
    """
    if slow not in ("close", "skip"):
        raise ValueError(f"slow must be 'close' or 'skip', not {slow!r}")
    shared = _prepare(message, binary, id)
    by_hub: dict[Any, list[Any]] = {}
    hub, members = None, []  # the last one's: most often all have the same
    if isinstance(connections, Transport):
        raise TypeError("broadcast() takes many connections: a list of them")
    for connection in connections:
        if not isinstance(connection, Transport):
            raise TypeError(f"broadcast() takes WebSockets and EventSources, not {type(connection).__name__}")
        if connection._hub is not hub:
            hub = connection._hub
            members = by_hub.setdefault(hub, [])
        members.append(connection)
    count = 0
    for hub, members in by_hub.items():
        if members[0]._is_elsewhere():
            count += call_in_hub(hub, shared.deliver, members, slow == "close")
        else:
            here = shared.deliver(members, slow == "close")
            count += here
            _pace(here * max(len(shared.data), MIN_COST))
    return count


def _prepare(message: Any, binary: bool | None, id: str | None) -> Broadcast:  # noqa: A002
    if isinstance(message, str):
        opcode, data, text = (BINARY if binary else TEXT), message.encode(), None if binary else message
    elif isinstance(message, (bytes, bytearray, memoryview)):
        opcode, data, text = BINARY, bytes(message), None
        if binary is False:
            opcode, text = TEXT, data.decode()
    else:
        raise TypeError(f"broadcast() takes str or bytes, not {type(message).__name__}")
    shared = Broadcast(opcode, data, text, id)
    if id is not None:
        shared.event()  # says what is wrong with it before anything has gone out
    return shared


def _pace(size: int) -> None:
    """Let others have their turn, where much has gone out: who broadcasts in a loop would leave them none."""
    global _burst
    _burst += size
    if _burst > MAX_BURST:
        _burst = 0
        hub = get_hub()
        if getcurrent() is not hub:
            pass_turn(hub)
