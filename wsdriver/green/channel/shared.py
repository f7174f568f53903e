"""A channel that other processes share: the part of it that is here."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from wsdriver.green.channel.audience import Audience
from wsdriver.green.channel.position import START, Entry, Id, Position
from wsdriver.green.channel.redis_link import AWAY, UP, Publication, link_to
from wsdriver.green.channel.room import Room
from wsdriver.green.channel.script import parse_push, parse_stream_entry
from wsdriver.green.waking import Signal, time_left
from wsdriver.log import log

if TYPE_CHECKING:
    from wsdriver.green.channel.feed import Feed

__all__ = ["SharedRoom"]

#: Messages that are read in one go after the connection was lost.
BATCH = 100

#: Publishers of which the last number is remembered.
PUBLISHERS = 1000


class SharedRoom(Room):
    """A channel at Redis.

    What is published here is delivered here at once, and goes to Redis; what comes back of it is not delivered again.
    The others' messages come as pushes. Where messages are kept, each push bears its id in the stream, and what was
    missed while there was no connection is read from there: until that is done, pushes are dropped, for they are read
    as well.

    Attributes:
        outstanding: what was published here, and Redis has not answered yet, by number.
        keys: for the script.
    """

    def __init__(self, history: int, url: str, namespace: str, name: str, database: int) -> None:
        super().__init__(history)
        link = link_to(url, self)
        self._link = link
        self.lock = link.lock
        self.publisher = link.publisher
        # In braces: what a cluster keeps together.
        base = f"{{{namespace}:{name}}}"
        self._stream = f"{base}:stream".encode()
        self._subject = f"{base}@{database}".encode()  # publishing is the same for all databases
        self.keys = (f"{base}:publisher:{link.publisher}".encode(), self._stream, self._subject)
        self.name = name
        self.outstanding: OrderedDict[int, Publication] = OrderedDict()
        self._heard: OrderedDict[str, int] = OrderedDict()
        self._newest: Id | None = None
        self._passed = 0
        self._listens = False
        self._ready = False
        self._catching_up = False
        self._round = 0

    # --- publishing -------------------------------------------------------------------------------------------------

    def publish(self, message: str | bytes, backlog: int) -> str | None:
        link = self._link
        link.start()
        if isinstance(message, str):
            message.encode()  # where it cannot be text, nobody shall get it
        with self.lock:
            self.published += 1
            entry = Entry(message, None, self.publisher, self.published, self._position())
            audiences = self._hand_over(entry)
            publication = link.submit(self, entry, backlog)
            error = link.away_error() if publication is None else None
        link.wake()
        for audience in audiences:
            audience.deliver()
        if publication is None:
            assert error is not None
            raise error
        return link.wait_for(publication)

    @property
    def position(self) -> Position | None:
        with self.lock:
            return self._position()

    def _position(self) -> Position | None:
        if not self.history or self._newest is None:
            return None
        ahead = ((self.publisher, self.published),) if self.published > self._passed else ()
        return Position(self._newest, ahead)

    # --- what was missed --------------------------------------------------------------------------------------------

    def read(
        self, feed: Feed, after: Id, count: int, published: int, deadline: float | None
    ) -> tuple[list[Entry], Id | None]:
        while not feed.closed:
            feed.inbox.signal = signal = Signal()
            try:
                with self.lock:
                    ready = self._link.state == UP and not self._unsettled(published)
                    if not ready:
                        self._link.watch(signal)
                if not ready:
                    if not signal.wait(time_left(deadline)):
                        raise TimeoutError("the messages that were missed have not come in time: Redis is away")
                    continue
            finally:
                feed.inbox.signal = None
            start = f"{after[0]}-{after[1] + 1}"
            try:
                reply = self._link.call(b"XRANGE", self._stream, start, b"+", b"COUNT", count)
            except ConnectionError as error:
                if not isinstance(error.__cause__, ResponseError):
                    continue
                raise
            return self._parse_all(reply), parse_id(reply[-1][0]) if len(reply) == count else None
        return [], None

    def _unsettled(self, published: int) -> bool:
        """Tell whether one of the first messages of this process is still on its way."""
        return bool(self.outstanding) and next(iter(self.outstanding)) <= published

    def _parse_all(self, reply: list[Any]) -> list[Entry]:
        entries = []
        for item in reply:
            id_ = parse_id(item[0])
            try:
                message, publisher, number = parse_stream_entry(item[1])
            except ValueError as error:
                log.error("in the history of the channel %s there is what is no message: %s", self.name, error)
            else:
                entries.append(Entry(message, id_, publisher, number, Position(id_)))
        return entries

    def newest(self) -> Id | None:
        return self._newest if self._ready else None

    # --- listening --------------------------------------------------------------------------------------------------

    def _listeners_changed(self) -> None:
        listened = bool(self._audiences or self._inboxes)
        if listened == self._listens:
            return
        self._listens = listened
        link = self._link
        if listened:
            link.rooms[self._subject] = self
            if link.state == UP:
                self.resubscribe()
        else:
            del link.rooms[self._subject]
            self.lost()
            self._newest = None
            if link.state == UP:
                link.command((b"UNSUBSCRIBE", self._subject), _pass)

    def resubscribe(self) -> None:
        """Ask for the messages, and for those that were missed. (Under the lock.)"""
        self._round += 1
        self._ready = False
        self._catching_up = self.history > 0
        self._link.command((b"SUBSCRIBE", self._subject), partial(self._subscribed, self._round))
        if self._catching_up:
            self._ask(self._newest is not None)

    def lost(self) -> None:
        """Nothing comes any more. (Under the lock.)"""
        self._round += 1
        self._ready = False

    def _subscribed(self, round_: int, reply: Any) -> None:
        refused = isinstance(reply, BaseException)
        if refused and round_ == self._round:
            log.error("the channel %s gets no messages of other processes: %s", self.name, reply)
        with self.lock:
            if round_ == self._round:
                self._catching_up = self._catching_up and not refused
                if not self._catching_up:
                    self._ready = True
                    self._link.changed()

    def _ask(self, first: bool) -> None:
        """Ask for what was missed; ``first``: including the last one that was not."""
        newest = self._newest
        command: tuple[Any, ...] = (b"XREVRANGE", self._stream, b"+", b"-", b"COUNT", b"1")
        if newest is not None:
            start = f"{newest[0]}-{newest[1] + (not first)}"
            command = (b"XRANGE", self._stream, start, b"+", b"COUNT", b"%d" % BATCH)
        self._link.command(command, partial(self._answered, self._round, newest, first))

    def _answered(self, round_: int, newest: Id | None, first: bool, reply: Any) -> None:
        """Take what was missed, in the greenlet that reads: what Redis pushed before this reply is among it, and what
        it pushes after it is not.
        """
        if round_ != self._round:
            return
        if isinstance(reply, BaseException):
            log.error("the history of the channel %s cannot be read: %s", self.name, reply)
            reply = []
        entries = [] if newest is None else self._parse_all(reply)
        gone = newest is not None and newest != START and first and not (reply and parse_id(reply[0][0]) == newest)
        if gone:
            log.warning("messages of the channel %s are gone: more were missed than it keeps", self.name)
        handed: list[Audience] = []
        with self.lock:
            if round_ != self._round:
                return
            if newest is None:
                self._newest = parse_id(reply[0][0]) if reply else START
            for entry in entries:
                handed += self._take(entry)
            if reply and self._newest is not None:
                self._newest = max(self._newest, parse_id(reply[-1][0]))  # which may have been no message
            if gone and not reply:
                # What was kept is lost, and its ids with it.
                self._newest = None
                self._ask(False)
            elif newest is not None and len(reply) == BATCH:
                self._ask(False)
            else:
                self._catching_up = False
                self._ready = True
                self._link.changed()
        self._link.wake()
        for audience in dict.fromkeys(handed):
            audience.deliver()

    def take(self, payload: bytes) -> None:
        """Take a message that Redis has pushed."""
        try:
            message, publisher, number, id_ = parse_push(payload)
            entry = Entry(message, parse_id(id_) if id_ else None, publisher, number, None)
        except ValueError as error:
            log.error("somebody else publishes to the channel %s: %s", self.name, error)
            return
        with self.lock:
            if self._catching_up:
                return
            handed = self._take(entry)
            self._listeners_changed()  # a subscription may have been dropped without close()
        self._link.wake()
        for audience in handed:
            audience.deliver()

    def _take(self, entry: Entry) -> tuple[Audience, ...]:
        """Hand over a message that comes from Redis, unless it has been. (Under the lock.)"""
        if entry.id is not None:
            if self._newest is not None and entry.id <= self._newest:
                return ()
            self._newest = entry.id
        if entry.publisher == self.publisher:
            self._passed = max(self._passed, entry.number)
            return ()
        if entry.number <= self._heard.get(entry.publisher, 0):
            return ()  # Redis was restarted, and has forgotten that it had this one
        self._heard[entry.publisher] = entry.number
        self._heard.move_to_end(entry.publisher)
        if len(self._heard) > PUBLISHERS:
            self._heard.popitem(last=False)
        return self._hand_over(entry._replace(position=self._position()))

    def _wake(self) -> None:
        self._link.wake()

    def wait_until_listening(self) -> None:
        self._link.start()
        self._link.wake()
        while True:
            with self.lock:
                if self._ready or not self._listens or self._link.state == AWAY:
                    return
                signal = Signal()
                self._link.watch(signal)
            signal.wait()

    def has_read(self, position: Position) -> bool:
        return self._newest is not None and self._newest >= position.id

    @property
    def connected(self) -> bool:
        return self._link.state == UP


def parse_id(text: bytes) -> Id:
    """Read an id as Redis writes it."""
    milliseconds, _, number = text.partition(b"-")
    return int(milliseconds), int(number)


def _pass(reply: Any) -> None:
    """There is nothing to do about it."""
