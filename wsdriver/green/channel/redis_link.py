"""The one connection of this process to a Redis: for all channels, and for what is published and received alike.

Redis' third protocol tells what it pushes from its replies, so that one connection will do. One greenlet reads: replies
go to who asked, in the order of asking, and pushes to their channel, at once and in the order of the wire. Another one
writes: what many greenlets publish goes out together. Where the connection is lost, what had no answer yet is published
again, in its old order; the script that publishes drops what it knows.

All of it runs in one hub, and in that hub's thread; others add to its queues under its lock.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import gevent
import gevent.socket
from gevent import get_hub
from gevent.event import Event
from redis.exceptions import NoScriptError, RedisError, ResponseError

from wsdriver.green.channel.position import Entry
from wsdriver.green.channel.redis_socket import Push, make_connection, where_is
from wsdriver.green.channel.script import SCRIPT, SCRIPT_HASH, make_arguments
from wsdriver.green.client.reconnecting import Backoff
from wsdriver.green.loop import call_soon, io_hub, take_calls
from wsdriver.green.native import allocate_lock
from wsdriver.green.openssl import clear_errors
from wsdriver.green.sockio import get_ident
from wsdriver.green.waking import Signal, Turn, is_main_thread, time_left
from wsdriver.log import log

if TYPE_CHECKING:
    from wsdriver.green.channel.shared import SharedRoom

__all__ = ["Link", "Publication", "link_to"]

#: Before the first attempt has ended, while connected, and while not.
STARTING = "starting"
UP = "up"
AWAY = "away"

#: Seconds of silence after which Redis is asked whether it is there, and that it has for an answer.
IDLE = 15.0
PATIENCE = 10.0

#: Seconds that one waits for Redis to come back whose message was on its way when it was lost.
RETRY = 5.0

#: Commands in one write.
BATCH = 500

BACKOFF = Backoff(initial_delay=0.1, max_delay=5)

Answer = Callable[[Any], None]


class Publication:
    """A message on its way to Redis.

    Attributes:
        id: that Redis gave it, once it is published.
        error: why it will never be.
    """

    def __init__(self, room: SharedRoom, entry: Entry, backlog: int, queued: bool) -> None:
        self.room = room
        self.number = entry.number
        self.backlog = backlog
        self.queued = queued
        self.resolved = False
        self.deadline: float | None = None
        self.signal = Signal()
        self.id: str | None = None
        self.error: BaseException | None = None
        arguments = make_arguments(entry.message, entry.publisher, entry.number, room.history)
        self.arguments = (b"3", *room.keys, *arguments)


class Link:
    """Keeps a connection to a Redis.

    Attributes:
        lock: held where its queues change, or those of its rooms; never while anything waits.
        state: STARTING, UP or AWAY.
        publisher: this process, for all others.
        rooms: that listen, by the name that is subscribed to.
    """

    def __init__(self, url: str) -> None:
        self.lock = allocate_lock()
        self.hub = get_hub() if is_main_thread() else io_hub()
        take_calls(self.hub)
        self.state = STARTING
        self.publisher = secrets.token_hex(6)
        self.rooms: dict[bytes, SharedRoom] = {}
        self.users: WeakSet[SharedRoom] = WeakSet()
        self._url = url
        self._where = where_is(make_connection(url))
        self._error: BaseException | None = None
        self._lost = 0.0
        self._started = False
        self._ended = False
        self._why: BaseException | None = None
        self._unsent: deque[Publication] = deque()
        self._commands: deque[tuple[tuple[Any, ...], Answer]] = deque()
        self._unanswered: deque[tuple[Answer, Publication | None]] = deque()
        self._watchers: WeakSet[Signal] = WeakSet()
        self._work: Event | None = None
        self._connection: Any = None
        self._heard = 0

    def start(self) -> None:
        """Begin to connect, if that has not happened yet."""
        if self._started:
            return
        with _links_lock:
            if self._started:
                return
            self._started = True
        if get_ident() == self.hub.thread_ident:
            gevent.spawn(self._run)
        else:
            call_soon(self.hub, gevent.spawn, self._run)

    # --- what others ask: in any thread -----------------------------------------------------------------------------

    def submit(self, room: SharedRoom, entry: Entry, backlog: int) -> Publication | None:
        """Queue a message; None where it has to be refused. (Under the lock.)"""
        away = self.state == AWAY
        if away and len(room.outstanding) >= backlog:
            return None
        publication = Publication(room, entry, backlog, away)
        room.outstanding[entry.number] = publication
        self._unsent.append(publication)
        return publication

    def command(self, arguments: tuple[Any, ...], answer: Answer) -> None:
        """Queue a command; ``answer`` is called with the reply, in the greenlet that reads, or with an error. (Under
        the lock.)
        """
        self._commands.append((arguments, answer))

    def wake(self) -> None:
        """Have what was queued written."""
        work = self._work
        if work is None:
            return  # it will be when there is a connection
        if get_ident() == self.hub.thread_ident:
            work.set()
        else:
            call_soon(self.hub, work.set)

    def call(self, *arguments: Any) -> Any:
        """Send a command, and wait for the reply.

        Raises:
            ConnectionError: there was none, or it was an error.
        """
        signal = Signal()
        outcome: list[Any] = []

        def answer(reply: Any) -> None:
            outcome.append(reply)
            signal.set()

        with self.lock:
            if self.state != UP:
                raise self.away_error()
            self.command(arguments, answer)
        self.wake()
        signal.wait()
        if isinstance(outcome[0], BaseException):
            raise ConnectionError(f"the Redis at {self._where} has not answered: {outcome[0]}") from outcome[0]
        return outcome[0]

    def wait_for(self, publication: Publication) -> str | None:
        """Wait until a message is published, or waits in the backlog; returns its id.

        Raises:
            ConnectionError: neither will happen.
        """
        while not publication.queued:
            came = publication.signal.wait(time_left(publication.deadline))
            with self.lock:
                if publication.resolved or publication.queued:
                    break
                if not came:
                    if publication in self._unsent:
                        self._unsent.remove(publication)
                    error = "the connection was lost before it answered, so that others may have got the message or not"
                    self._resolve(publication, ConnectionError(error))
                else:
                    publication.signal = Signal()
        if publication.error is not None:
            raise self._failure(publication.error) from publication.error
        return publication.id or None

    def watch(self, signal: Signal) -> None:
        """Have it set at the next change of what may be waited for. (Under the lock.)"""
        self._watchers.add(signal)

    def changed(self) -> None:
        """Have those look who watch. (Under the lock.)"""
        watchers, self._watchers = self._watchers, WeakSet()
        for signal in tuple(watchers):
            signal.set()

    def away_error(self) -> ConnectionError:
        """Return the error for who needs Redis now."""
        error = ConnectionError(
            f"the Redis at {self._where} has been away for {monotonic() - self._lost:.1f} seconds ({self._error}); "
            "members and subscribers in this process have got the message"
        )
        error.__cause__ = self._error
        return error

    def _failure(self, error: BaseException) -> ConnectionError:
        return ConnectionError(
            f"the Redis at {self._where} has not published it: {error}; "
            "members and subscribers in this process have got the message"
        )

    # --- the connection: in the hub ---------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = 0
        while not self._ended:
            began = None
            try:
                connection = self._connect()
            except Exception as error:
                self._lose(error)
            else:
                began = monotonic()
                self._lose(self._serve(connection))
            # One that never lasts is no better than none.
            failures = 0 if began is not None and monotonic() - began > BACKOFF.max_delay else failures + 1
            if not self._ended and not self._end_if_unused():
                gevent.sleep(BACKOFF.delay(failures), ref=False)

    def _connect(self) -> Any:
        connection = self._connection = make_connection(self._url)
        try:
            connection.connect()
            # While it loads its data, it says so.
            connection.send_command("PING")
            connection.read_response()
        except ResponseError as error:
            connection.disconnect()
            if "unknown command" in str(error).lower():
                raise ConnectionError(f"channels need Redis 6 or later ({error})") from error
            raise
        except BaseException:
            connection.disconnect()
            raise
        return connection

    def _serve(self, connection: Any) -> BaseException:
        """Read until the connection is lost; returns why."""
        sock = connection._sock
        sock.settimeout(None)
        sock.ref = False  # it keeps no program running that has nothing else to do
        work = Event()
        with self.lock:
            self._work = work
            was, self.state = self.state, UP
            for room in self.rooms.values():
                room.resubscribe()
            self.changed()
        if was == AWAY:
            log.info("the Redis at %s is back after %.1f seconds", self._where, monotonic() - self._lost)
        work.set()
        helpers = [gevent.spawn(self._write, connection, sock, work), gevent.spawn(self._keep, sock)]
        turn = Turn()
        try:
            while True:
                self._heard += 1
                turn.pause_if_long()
                try:
                    reply = connection.read_response(
                        disable_decoding=True, push_request=True, disconnect_on_error=False
                    )
                except ResponseError as error:
                    reply = error
                if isinstance(reply, Push) and reply[0] == b"message":
                    self._on_message(reply[1], reply[2])
                elif not isinstance(reply, Push) or reply[0] in (b"subscribe", b"unsubscribe"):
                    self._on_reply(reply)
        except (RedisError, OSError) as error:
            return self._why or error
        except Exception as error:
            log.exception("error in a channel's link to Redis; it will connect again")
            return error
        finally:
            gevent.killall(helpers, block=False)
            connection.disconnect()

    def _write(self, connection: Any, sock: Any, work: Event) -> None:
        # (Not by redis-py's own call: where that fails, it takes the connection from the greenlet that reads.)
        try:
            while True:
                work.wait()
                work.clear()
                while batch := self._next_batch(work):
                    for piece in connection.pack_commands(batch):
                        sock.sendall(piece)
        except OSError as error:
            clear_errors()
            self._hang_up(sock, error)

    def _next_batch(self, work: Event) -> list[tuple[Any, ...]]:
        batch: list[tuple[Any, ...]] = []
        with self.lock:
            # Where the connection was lost just now, the queues are the next one's: what this took from them would get
            # no answer, or the answer to something else.
            if work is not self._work:
                return batch
            while self._commands and len(batch) < BATCH:
                arguments, answer = self._commands.popleft()
                self._unanswered.append((answer, None))
                batch.append(arguments)
            # The first one brings the script along.
            script = (b"EVAL", SCRIPT)
            while self._unsent and len(batch) < BATCH:
                publication = self._unsent.popleft()
                self._unanswered.append((self._answer_to(publication), publication))
                batch.append((*script, *publication.arguments))
                script = (b"EVALSHA", SCRIPT_HASH)
        return batch

    def _answer_to(self, publication: Publication) -> Answer:
        def answer(reply: Any) -> None:
            if isinstance(reply, NoScriptError):
                # It was flushed just now. To keep the order, this one and all behind it are published once more.
                with self.lock:
                    self._unanswered.appendleft((answer, publication))
                raise reply
            with self.lock:
                self._resolve(publication, reply)
            if isinstance(reply, BaseException) and publication.queued:
                log.error("a message of the backlog was not published at Redis: %s", reply)

        return answer

    def _resolve(self, publication: Publication, reply: Any) -> None:
        """Tell who waits for it how it ended. (Under the lock.)"""
        if publication.resolved:
            return
        if isinstance(reply, BaseException):
            publication.error = reply
        else:
            publication.id = reply.decode()
        publication.resolved = True
        publication.room.outstanding.pop(publication.number, None)
        publication.signal.set()
        self.changed()

    def _on_reply(self, reply: Any) -> None:
        with self.lock:
            answer, _ = self._unanswered.popleft()
        answer(reply)

    def _on_message(self, name: bytes, payload: bytes) -> None:
        room = self.rooms.get(name)
        if room is not None:
            room.take(payload)

    def _keep(self, sock: Any) -> None:
        """See that Redis is there while it is silent."""
        heard = self._heard
        silent = monotonic()
        while True:
            gevent.sleep(IDLE / 3, ref=False)
            if self._heard != heard:
                heard, silent = self._heard, monotonic()
                continue
            if monotonic() - silent < IDLE:
                continue
            if self._end_if_unused():
                self._hang_up(sock, ConnectionAbortedError("nobody needs it any more"))
                return
            with self.lock:
                self.command((b"PING",), lambda reply: None)
            self.wake()
            gevent.sleep(PATIENCE, ref=False)
            if self._heard == heard:
                self._hang_up(sock, TimeoutError(f"it has been silent for {IDLE + PATIENCE:.0f} seconds"))
                return

    def _hang_up(self, sock: Any, why: BaseException) -> None:
        """Have the greenlet that reads come to the end. (Nothing is thrown into it: it may be there already.)"""
        if sock.fileno() < 0:
            return
        self._why = why
        with gevent.socket.socket(fileno=os.dup(sock.fileno())) as same:  # below TLS
            try:
                same.shutdown(gevent.socket.SHUT_RDWR)
            except OSError:
                pass

    def _lose(self, error: BaseException) -> None:
        """The connection is gone, or there was none."""
        clear_errors()
        # (Never logged under the lock: a handler may wait.)
        if self.state != AWAY:
            self._lost = monotonic()
            if not self._ended:
                log.warning("the Redis at %s is away: %s", self._where, error)
        with self.lock:
            self.state = AWAY
            self._error = error
            self._why = None
            self._work = None
            unanswered = list(self._unanswered)
            failed = [answer for answer, publication in unanswered if publication is None]
            failed += [answer for _, answer in self._commands]
            self._unanswered.clear()
            self._commands.clear()
            sent = [publication for _, publication in unanswered if publication is not None]
            self._unsent.extendleft(reversed(sent))
            self._keep_backlog(set(sent))
            for room in self.rooms.values():
                room.lost()
            self.changed()
        for answer in failed:
            answer(self.away_error())

    def _keep_backlog(self, sent: set[Publication]) -> None:
        """Decide what becomes of each message that is not published. (Under the lock.)"""
        counts: dict[SharedRoom, int] = {}
        kept: deque[Publication] = deque()
        for publication in self._unsent:
            count = counts.get(publication.room, 0)
            if publication.queued or count < publication.backlog:
                publication.queued = True
                counts[publication.room] = count + 1
            elif publication in sent and publication.deadline is None:
                publication.deadline = monotonic() + RETRY
            elif publication.deadline is None:
                self._resolve(publication, self._error)
                continue
            publication.signal.set()
            kept.append(publication)
        self._unsent = kept

    # --- the end ----------------------------------------------------------------------------------------------------

    def _end_if_unused(self) -> bool:
        """End it where no channel of this process needs it any more; returns whether."""
        with _links_lock:
            self._ended = not self.users and not self._unsent and not self._unanswered
            if self._ended:
                _links.pop((os.getpid(), self._url), None)
        return self._ended

    def abandon(self) -> None:
        """Leave the connection to the process that this one was forked from."""
        self._ended = True
        sock = getattr(self._connection, "_sock", None)
        if sock is not None:
            # Closing it would tell Redis, or the loop, of which both processes may have a part.
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, sock.fileno())
            os.close(null)


_links: dict[tuple[int, str], Link] = {}
_links_lock = allocate_lock()


def link_to(url: str, room: SharedRoom) -> Link:
    """Return this process' link to that Redis, for a room that may use it; not connected yet."""
    key = (os.getpid(), url)
    with _links_lock:
        link = _links.get(key)
        if link is None:
            link = _links[key] = Link(url)
        link.users.add(room)
    return link


def _after_fork() -> None:
    global _links_lock
    _links_lock = allocate_lock()
    for link in _links.values():
        link.abandon()
    _links.clear()


os.register_at_fork(after_in_child=_after_fork)
