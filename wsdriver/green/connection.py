# cython: language_level=3, annotation_typing=False, binding=True
"""A socket and a driver, joined: the one read pump and the one write path of every WebSocket here.

Reading. A libev watcher on the socket stays started as long as the connection lives. Its callback, in the hub, reads
once, feeds the driver, answers what the protocol itself answers (pings, the closing handshake), and switches straight
to the greenlet that waits in ``receive``. No greenlet is spent on reading, and nothing waits for the application: a
ping is answered, and a lost peer noticed, while the handler sleeps. When the application does not keep up, the watcher
stops, and TCP tells the peer.

Writing. The buffer of :class:`~wsdriver.green.transport.Transport` is written at once, unless more input waits to be
handled: then the answers to all of it go out in one system call.
"""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from gevent import getcurrent

from wsdriver.codes import is_application_close_code
from wsdriver.driver.driver import Driver
from wsdriver.events import CloseEvent, Emitter, L, Listener, MessageEvent, OpenEvent, PingEvent, PongEvent, check_event
from wsdriver.exceptions import ConnectionClosed, HandshakeError
from wsdriver.framing.opcodes import BINARY, PING, TEXT
from wsdriver.green.failures import dispatch_end
from wsdriver.green.framelog import FrameLog
from wsdriver.green.loop import call_in_hub, scratch_of, spawn_for
from wsdriver.green.openssl import clear_errors
from wsdriver.green.options import ConnectionOptions
from wsdriver.green.peerhost import has_vanished, struggle, watch_host
from wsdriver.green.sockio import get_ident, has_input, read_into, read_tls, unacknowledged
from wsdriver.green.transport import LARGE, MAX_BURST, Transport

__all__ = ["Connection"]

CONNECTING = 0
OPEN = 1
CLOSING = 2
CLOSED = 3

#: Seconds that a peer whose request was refused has to read the answer.
REFUSAL_LINGER = 1.0

#: Bytes that a read brings at least where a large message is on its way; the rest of that is read to where it belongs.
LARGE_READ = 32768

#: Bytes of a large message that are read at once; then others have their turn.
MAX_ROOM = 1024 * 1024

#: Reads in one go where one read returns one TLS record; then others have their turn.
MAX_ROUNDS = 16

#: More than any network ever loses.
ONCE = 1 << 62

#: The heartbeat's own timer may be late by that, as a multiple of ``ping_timeout``; else it judges nobody.
STOOD_STILL = 1.5

#: Frames of one connection that are handled in one turn of the loop: one read may hold tens of thousands, and who sends
#: those must not make others wait for them.
MAX_FRAMES = 64


class Connection(Transport):
    """The part of a WebSocket that moves messages: receive, send, ping, close, heartbeat, listeners.

    Subclasses say how the opening handshake goes: :meth:`accept`.

    Attributes:
        close_code (int | None): how it ended, as RFC 6455 §7.1.5 has it; None before the end.
        close_reason (str | None): the sentence beside the code (§7.1.6); None before the end.
        was_clean (bool): whether close frames went both ways.
        close_error (BaseException | None): what ended it where that was an error.
        latency (float | None): seconds that the last ping of the heartbeat took.
        messages_received, messages_sent (int): counts.
    """

    __slots__ = (
        "_acknowledged",
        "_awaited",
        "_client",
        "_close_deadline",
        "_close_dispatched",
        "_coalescing",
        "_driver",
        "_emitter",
        "_flush_scheduled",
        "_heard",
        "_in_large",
        "_inbound_limit",
        "_inbound_messages",
        "_next_beat",
        "_open_dispatched",
        "_opening",
        "_paused",
        "_ping_end",
        "_reading",
        "_ready",
        "_rest",
        "_rest_start",
        "_running",
        "_scratch",
        "_shut",
        "_struggle",
        "_turn",
        "_unread",
        "_waiter",
        "close_code",
        "close_reason",
        "latency",
        "messages_received",
        "messages_sent",
        "was_clean",
    )

    def __init__(self, options: ConnectionOptions, client: bool, hub: Any = None) -> None:
        Transport.__init__(self, options, hub)
        self._inbound_limit = options.inbound_limit
        self._inbound_messages = options.inbound_messages
        self._client = client
        self._driver: Driver = None  # type: ignore[assignment]  # until _attach
        self._scratch: Any = None
        self._close_deadline: Any = None
        self._waiter: Any = None
        self._opening: list[Any] | None = None
        self._emitter: Emitter | None = None
        self._ready: list[Any] = []  # what comes next is its last
        self._rest: bytes | None = None  # of what was read: behind the frames of one turn
        self._rest_start = 0
        self._turn: Any = None  # the watcher of the next turn
        self._running = False  # a greenlet is in run()
        self._unread = 0
        self._reading = False
        self._paused = False
        self._coalescing = False
        self._flush_scheduled = False
        self._heard = False
        self._in_large = False  # a large message may be unfinished
        self._next_beat = 0.0
        self._awaited = 0.0
        self._acknowledged = 0
        self._ping_end = 0
        self._struggle = 0  # of the network, when the ping went out
        self._shut = False
        self._open_dispatched = False
        self._close_dispatched = False
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self.was_clean = False
        self.latency: float | None = None
        self.messages_received = 0
        self.messages_sent = 0

    # --- what a subclass gives --------------------------------------------------------------------------------------

    def _accept(self) -> bool:
        """Do the opening handshake, if that has not happened yet. Returns whether the connection is open."""
        raise NotImplementedError

    def _requested(self) -> None:
        """The request's head is there, on a server that reads it by itself. In the hub, in the midst of reading."""

    # --- the opening handshake --------------------------------------------------------------------------------------

    def accept(self) -> bool:
        """Do the opening handshake (RFC 6455 §4.2.2), if that has not happened yet.

        Returns:
            whether the connection is open: a request that is wrong is answered with 400 or 426 instead, and
            ``close_error`` says why.

        Raises:
            ConfigurationError: the server cannot hand over its connection.
        """
        accepted: bool = call_in_hub(self._hub, self._accept) if self._is_elsewhere() else self._accept()
        if accepted and not self._open_dispatched:
            self._open_dispatched = True
            self._dispatch_open()
        return accepted

    def _start(self, driver: Driver) -> bool:
        """Answer the request, and wait for what the answer may still need (hixie-76); returns whether it is open."""
        driver.start()
        if self._sock is not None:
            self._flush()
        if driver.ready_state == CONNECTING and not self._wait_opening(self._opening_deadline()):
            timeout = self.options.open_timeout
            self._lose(TimeoutError(f"the request was not completed within {timeout} seconds (open_timeout)"))
        return driver.ready_state == OPEN

    def _opening_deadline(self) -> float | None:
        """Return until when the request must be complete, by the monotonic clock."""
        timeout = self.options.open_timeout
        return None if timeout is None else monotonic() + timeout

    def _attach(self, sock: Any, driver: Driver, secure: bool, early: bytes) -> None:
        """Take a connected socket over; from here on it is read by itself.

        Args:
            sock: any socket object, of gevent or not.
            driver: of which this becomes the observer.
            secure: whether the socket does TLS, so that only its own methods may read and write.
            early: bytes that came off the socket already.
        """
        self._scratch = scratch_of(self._hub)
        self._driver = driver
        driver.observer = self
        driver.keeps_controls = self._emitter is not None
        debug = self.options.debug
        if debug:
            sock = FrameLog(sock, driver, self._client, early)
        if not self._watch(sock, driver.outbox, secure):
            self._lose(ConnectionAbortedError("the socket was closed before the handshake"))
            return
        if debug:
            # All has to pass through the log.
            self._fd = -1
            self._tls = None
        if early:
            self.bytes_received += len(early)
            driver.parse(early)
        if secure:
            # Records that TLS has read already raise no event.
            self._go_on()

    # --- reading: in the hub ----------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        if self._paused or self._sock is None:
            return
        driver = self._driver
        self._burst = 0
        self._reading = True
        try:
            self._read()
        finally:
            self._reading = False
        if driver.ready_state == CLOSED and self._sock is not None:
            # Settled before its handler is resumed: that need not wait for the end then.
            self._settle()
            if self._sock is not None:
                self._closing()
            return
        self._resume_waiter()
        if self._sock is None:
            return
        if self._out and not self._write_blocked:
            self._flush()
        if self._unread > self._inbound_limit or len(driver.inbox) > self._inbound_messages:
            self._pause()

    def _read(self) -> None:
        rounds = 1
        driver = self._driver
        if self._write_for_read:
            self._write_for_read = False
            self._write_blocked = False
            self._flush()
        if self._rest is not None:
            self._heard = True  # it is being heard still
            self._handle_rest(self._rest)
            return
        if self._in_large and self._fill():
            return
        while self._sock is not None:
            try:
                if self._tls is not None:
                    count = read_tls(self._tls, self._scratch)
                else:
                    count = read_into(self._sock, self._fd, self._scratch)
            except OSError as error:
                self._read_failed(error)
                return
            if count > 0:
                self._heard = True
                self.bytes_received += count
                self._unread += count
                if driver.unpacks:
                    stop = self._unpack(self._scratch, 0, count)
                else:
                    stop = driver.feed(self._scratch, 0, count, MAX_FRAMES)
                if self._sock is None or self._rest is not None:
                    return
                if stop < count:
                    self._keep_rest(bytes(memoryview(self._scratch)[stop:count]))
                    return
                if not self._secure:
                    if count >= LARGE_READ and self._fd >= 0:
                        self._in_large = True
                        if count == len(self._scratch):
                            self._fill()  # there is more
                    return
                full = len(driver.inbox) >= MAX_FRAMES or self._unread > self._inbound_limit
                if full or rounds == MAX_ROUNDS:
                    self._go_on()
                    return
                if self._tls is not None and not has_input(self._sock.fileno()):
                    return  # another read would find nothing, and say so by an exception, which costs more than it
                rounds += 1
            elif count == 0:
                driver.eof()
                if self._unsent() > 0:
                    self._flush()
                self._release()
                return
            else:
                if count == -2:
                    self._watch_writable()
                return

    def _read_again(self) -> None:
        if not self._paused and self._rest is None:
            Transport._read_again(self)

    def _handle_rest(self, rest: bytes) -> None:
        """Handle as much as is for one turn of what was read before; the rest is kept for the next ones."""
        size = len(rest)
        if self._driver.unpacks:
            self._rest_start = self._unpack(rest, self._rest_start, size)
        else:
            self._rest_start = self._driver.feed(rest, self._rest_start, size, MAX_FRAMES)
        if self._sock is None:
            return
        if self._rest_start < size:
            self._go_on()
            return
        self._rest = None
        if not self._paused:
            self._reader.start(self._on_readable)
            if self._secure:
                self._go_on()

    def _unpack(self, data: bytes | bytearray, start: int, end: int) -> int:
        """Feed the driver where frames may unfold to much more than came: no further than to what may wait.

        Returns:
            where to go on.
        """
        driver = self._driver
        for _ in range(MAX_FRAMES):
            start = driver.feed(data, start, end, 1)
            self._unread += driver.unpacked
            driver.unpacked = 0
            if start == end or (self._unread > self._inbound_limit and self._unhandled()):
                break
        return start

    def _keep_rest(self, rest: bytes) -> None:
        """Keep what was read for the next turns; no more is read before it is through."""
        self._rest = rest
        self._rest_start = 0
        self._reader.stop()
        self._go_on()

    def _go_on(self) -> None:
        """Read on in the loop's next turn, when others have had theirs."""
        if self._turn is None:
            self._turn = self._loop.timer(0)
        if not self._turn.active:
            self._turn.start(self._on_readable)

    def _fill(self) -> bool:
        """Read on in a large message, past the hub's read buffer; False where there is none, or nothing to read."""
        self._in_large = False
        room = self._driver.room(MAX_ROOM)
        if room is None:
            return False
        try:
            count = read_into(self._sock, self._fd, room)
        except OSError as error:
            self._read_failed(error)
            return True
        if count <= 0:
            return False
        self._heard = True
        self._in_large = count >= LARGE_READ
        self.bytes_received += count
        self._unread += count
        self._driver.filled(count)
        return True

    def _resume_waiter(self) -> None:
        """Switch to the greenlet in ``receive``, where there is something for it."""
        waiter = self._waiter
        if waiter is not None and (self._driver.inbox or self._driver.ready_state == CLOSED):
            # What it sends while it works through the queue goes out in one write, by our caller at the latest. (Not
            # what the main greenlet sends: a script may sleep, or compute, and come back much later.)
            self._coalescing = waiter.parent is not None
            try:
                waiter.switch()
            finally:
                self._coalescing = False

    def _pause(self) -> None:
        """Stop reading: the application does not keep up."""
        if self._driver.ready_state == OPEN:
            if not self._paused and self._reader is not None and self._unhandled():
                self._paused = True
                self._reader.stop()
        elif self._driver.ready_state == CLOSING:
            # The peer's close frame must be read whatever comes before it; that can be for nobody any more.
            self._driver.take_inbox([])
            self._unread = 0

    def _resume(self) -> None:
        self._paused = False
        if self._reader is not None:
            if self._rest is None:
                self._reader.start(self._on_readable)
            if self._rest is not None or self._secure:
                self._go_on()

    def _unhandled(self) -> bool:
        return bool(self._ready or self._driver.inbox)

    # --- what the driver tells: in the hub --------------------------------------------------------------------------

    def driver_event(self, name: str, event: Any) -> None:
        if name == "error":
            if self.close_error is None:
                self.close_error = event
        elif name == "close":
            self.close_code = event.code
            self.close_reason = event.reason
            self.was_clean = event.was_clean
            if self.close_error is None and not event.was_clean and self._driver.has_closing_frame:
                self.close_error = ConnectionResetError("the peer went away without a closing handshake")
            self._stop_heartbeat()
            if self._sock is not None and not self._reading:
                self._loop.run_callback(self._settle)
                self._closing()
        elif name == "open":
            self._start_heartbeat()
            early = self._driver.take_early()
            if early and self._reader is not None:
                self._keep_rest(early)
        elif name == "connect":
            self._requested()
        waiting, self._opening = self._opening, None
        for waiter in waiting or ():
            self._loop.run_callback(waiter.switch, None)

    def is_blocked(self) -> bool:
        """Tell whether the peer takes no more for now. What waits is written first: so no more than one pong does."""
        while len(self._out) > 0 and self._large is None and not self._write_blocked:
            if not self._write_once():
                break
        return self._write_blocked

    # --- writing ----------------------------------------------------------------------------------------------------

    def _written(self) -> None:
        """See that what was just put into the buffer goes out."""
        if self._write_blocked or self._sock is None:
            return
        if self._unhandled() and self._unsent() < 65536:
            # More input waits: let the answers to all of it go out together.
            if self._coalescing:
                return
            if getcurrent().parent is not None:
                if not self._flush_scheduled:
                    self._flush_scheduled = True
                    self._loop.run_callback(self._scheduled_flush)
                return
        self._flush()

    def _scheduled_flush(self) -> None:
        self._flush_scheduled = False
        if self._sock is not None and self._unsent() > 0 and not self._write_blocked:
            self._flush()

    def _emptied(self, was_blocked: bool) -> None:
        if was_blocked:
            self._driver.write_late_pong()
            if len(self._out) > 0:
                self._flush()
        self._wake_drained()
        if self._driver.ready_state == CLOSED:
            self._settle()
        elif self._secure:
            self._on_readable()

    def _write_failed(self, error: OSError) -> None:
        # The peer's last words, such as a close frame, may still wait to be read: they say more than this error.
        if self._reader is not None and self._driver.ready_state != CLOSED and not self._secure:
            self.close_error = error
            self._out.clear()
            self._large = None  # type: ignore[assignment]
            self._write_blocked = True
            self._read()
            while self._rest is not None and not (self._driver.unpacks and self._unread > self._inbound_limit):
                self._read()
            self._loop.run_callback(self._resume_waiter)
        self._lose(error)

    def _wait_opening(self, deadline: float | None, connected: bool = False) -> bool:
        """Wait until the driver is open, or only ``connected``; False where that has not come by the deadline."""
        driver = self._driver
        while driver.ready_state == CONNECTING and not (connected and driver.connected):
            if self._opening is None:
                self._opening = []
            if not self._sleep(self._opening, deadline):
                return False
        return True

    # --- the end ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Move the end on, once the driver has closed: flush, then let the socket go."""
        if self._sock is None:
            return
        if self._unsent() > 0 and not self._write_blocked:
            self._flush()
        if self._sock is None:
            return
        if self._unsent() == 0 and (self.was_clean or not self._driver.has_closing_frame) and not self._client:
            # Both close frames are through, or there are none: the server ends TCP first (RFC 6455 §7.1.1).
            self._release()
            return
        self._resume_waiter()
        if self._sock is None or self._unsent() > 0:
            return
        if self._paused:
            self._resume()
        if not self._shut:
            # A close with unread bytes would reset the connection, and the peer lose our close frame: say that no
            # more comes, and read on to the end.
            self._shut = True
            if not self.was_clean:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._secure:
            try:
                self._sock.unwrap()
            except (OSError, ValueError):
                clear_errors()  # said, but not answered yet; or the peer is gone
            self._tls = None  # the socket lets go of it
        try:
            self._sock.shutdown(stdlib_socket.SHUT_WR)
        except OSError:
            pass  # gone

    def _closing(self) -> None:
        """See that the end comes, however long the peer takes."""
        self._arm_close_deadline(REFUSAL_LINGER if isinstance(self.close_error, HandshakeError) else None)

    def _arm_close_deadline(self, most: float | None = None) -> None:
        timeout = self.options.close_timeout
        if most is not None and (timeout is None or timeout > most):
            timeout = most
        if timeout is not None and self._close_deadline is None:
            self._close_deadline = self._loop.timer(timeout)
            self._close_deadline.start(self._close_timed_out)

    def _close_timed_out(self) -> None:
        self._lose(TimeoutError(f"the closing handshake took more than {self.options.close_timeout} seconds"))

    def _lose(self, error: BaseException) -> None:
        """The connection is gone, for this reason."""
        if self._driver.ready_state != CLOSED:
            self.close_error = error
            self._driver.eof()
        self._release()

    def _gone(self) -> None:
        if self._close_deadline is not None:
            self._close_deadline.stop()
            self._close_deadline.close()
            self._close_deadline = None
        self._scratch = None
        self._rest = None
        if self._turn is not None:
            self._turn.stop()
            self._turn.close()
            self._turn = None
        waiter = self._waiter
        if waiter is not None:
            self._loop.run_callback(self._resume_waiter)
        emitter = self._emitter
        if emitter is not None and waiter is None and not emitter.has_listeners("message"):
            # Nobody is in receive() or run() to call them.
            spawn_for(self._hub, partial(dispatch_end, self))

    def _request_ended(self, status: int) -> None:
        """The server takes the request for answered, with that status, or for broken off (0): its handler is done."""
        if self._sock is not None and self._driver.ready_state != CLOSED:
            if 100 <= status < 500:
                self._start_close(1000, "")
            else:
                self._start_close(1011, "internal error")

    @property
    def http_status(self) -> str:
        """The status line of the answer that the request got, for an access log."""
        error = self.close_error
        return f"{error.status} Refused" if isinstance(error, HandshakeError) else "101 Switching Protocols"

    # --- heartbeat: in the hub --------------------------------------------------------------------------------------

    def _start_heartbeat(self) -> None:
        if self.options.ping is not None and self._driver.pingable:
            self._next_beat = monotonic() + self.options.ping
            self._arm(self.options.ping)
        elif self.options.ping is not None and self.options.ping_timeout is not None:
            watch_host(self._sock, self.options.ping, self.options.ping_timeout)

    def _stop_heartbeat(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _arm(self, seconds: float) -> None:
        self._stop_heartbeat()
        self._timer = self._loop.timer(max(seconds, 0.001))
        self._timer.start(self._beat)

    def _beat(self) -> None:
        """Ping each ``ping`` seconds. Where nothing at all comes within ``ping_timeout`` of one, the peer is gone."""
        now = monotonic()
        timeout = self.options.ping_timeout
        if (
            self._awaited
            and timeout is not None
            and now >= self._awaited + timeout
            and not self._is_alive(now, timeout)
        ):
            if self._sock is not None:
                self._give_up(now - self._awaited)
            return
        if self._sock is None:
            return
        if self._heard:
            self._awaited = 0.0
        if now >= self._next_beat:
            self._next_beat = now + (self.options.ping or 0)
            self._driver.ping(str(now), _Latency(self, now))
            if not self._awaited:
                self._awaited = now
                self._heard = False
                self._ping_end = self.bytes_sent + self._unsent()
                self._acknowledged = self.bytes_sent - unacknowledged(self._sock)
                self._struggle = struggle(self._sock)[0]
            if not self._write_blocked:
                self._flush()
            if self._sock is None:
                return
        due = self._next_beat
        if self._awaited and timeout is not None:
            due = min(due, self._awaited + timeout)
        self._arm(due - now)

    def _is_alive(self, now: float, timeout: float) -> bool:
        """Judge a peer that has not been heard: with care, for it costs it its connection."""
        if not self._heard and not self._paused:
            # If our own loop was late, the answer may lie in the socket.
            self._read()
            self._resume_waiter()
        if self._sock is None:
            return False
        if now > self._awaited + timeout * STOOD_STILL:
            # We, or the machine that we are on, stood still, and its network maybe with it: that was no silence of the
            # peer's. It is asked again.
            self._heard = True
            self._next_beat = now
        if not self._heard:
            # Our ping may wait behind much else for a slow peer: until it is through, taking bytes is life.
            acknowledged = self.bytes_sent - unacknowledged(self._sock)
            self._heard = self._acknowledged < acknowledged < self._ping_end
        if not self._heard:
            return self._host_speaks(now, timeout)
        self._heard = False
        self._awaited = 0.0
        return True

    def _host_speaks(self, now: float, timeout: float) -> bool:
        """Judge by what the peer's host says, where the peer itself cannot be heard."""
        lost, silence = struggle(self._sock)
        if self._paused:
            # What it says waits behind what we do not read.
            if has_vanished(self._sock, timeout):
                return False
            self._awaited = now - silence if 0 < silence < timeout and unacknowledged(self._sock) > 0 else 0.0
            return True
        if lost <= self._struggle or silence >= timeout:
            return False
        # The network loses what we or it say: once, it has its time again, from its host's last word on.
        self._struggle = ONCE
        self._awaited = now - silence
        return True

    def _give_up(self, silence: float) -> None:
        if self._unsent() == 0:
            self._driver.close(1011, "ping timeout")
            self._flush()
        if self._sock is not None:
            self._lose(TimeoutError(f"the peer has been silent for {silence:.1f} seconds after a ping"))

    # --- receiving --------------------------------------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message (RFC 6455 §6.2).

        Args:
            timeout: seconds to wait at most; 0 only looks; None waits for ever.

        Returns:
            str for text, bytes for binary, None once the connection is closed and all messages have been taken.

        Raises:
            TimeoutError: nothing came in time; nothing is lost.
            RuntimeError: another greenlet is waiting in receive() already.
        """
        message: str | bytes | None = self._next(timeout)
        return message

    def __iter__(self) -> Connection:
        """Receive until the end: ``for message in ws``."""
        return self

    def __next__(self) -> str | bytes:
        message: str | bytes | None = self._next(None)
        if message is None:
            raise StopIteration
        return message

    def _next(self, timeout: float | None, elsewhere: bool = False) -> Any:
        """Return the next message, or None at the end; for a caller ``elsewhere``, also what its listeners are told."""
        if get_ident() != self._thread:
            return self._next_elsewhere(timeout)
        deadline = None
        while True:
            while self._ready:
                item = self._ready.pop()
                if type(item) is not tuple:
                    self.messages_received += 1
                    return item
                if elsewhere:
                    return item
                self._dispatch_control(item)
            driver = self._driver
            if driver is None or driver.ready_state == CONNECTING:
                # Where it is refused, the driver has closed; what came before that is still to be had.
                if elsewhere:
                    self._accept()
                else:
                    self.accept()
                continue
            if driver.inbox:
                self._ready = driver.take_inbox(self._ready)
                self._ready.reverse()
                continue
            if driver.ready_state == CLOSED:
                if not elsewhere:
                    self._dispatch_end()
                return None
            self._unread = 0
            if self._paused:
                self._resume()
            if self._out and not self._write_blocked:
                self._flush()
                if self._sock is None:
                    continue
            if timeout is not None and deadline is None:
                deadline = monotonic() + timeout
                if timeout <= 0:
                    self._read()
                    if len(driver.inbox) > 0 or driver.ready_state == CLOSED:
                        continue
                    raise TimeoutError("no message is there")
            self._wait_input(deadline, timeout)

    def _next_elsewhere(self, timeout: float | None) -> Any:
        """Receive in the hub's thread, and call the listeners here."""
        if self._driver is None or self._driver.ready_state == CONNECTING:
            self.accept()
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            item = call_in_hub(self._hub, self._next, timeout, True)
            if type(item) is not tuple:
                break
            self._dispatch_control(item)
            if deadline is not None:
                timeout = max(0.0, deadline - monotonic())
        if item is None:
            self._dispatch_end()
        return item

    def _wait_input(self, deadline: float | None, timeout: float | None) -> None:
        current = getcurrent()
        if current is self._hub:
            raise RuntimeError("receive() waits, which a callback in the hub must not do; spawn a greenlet")
        if self._waiter is not None:
            raise RuntimeError("another greenlet is waiting in receive() already")
        self._waiter = current
        timer = None
        if deadline is not None:
            timer = self._loop.timer(max(deadline - monotonic(), 0))
            timer.start(current.switch)
        try:
            self._hub.switch()
        finally:
            self._waiter = None
            if timer is not None:
                timer.stop()
                timer.close()
        if deadline is None or len(self._driver.inbox) > 0 or self._driver.ready_state == CLOSED:
            return
        if monotonic() >= deadline:
            raise TimeoutError(f"no message came within {timeout} seconds")

    # --- sending ----------------------------------------------------------------------------------------------------

    def send(
        self,
        message: str | bytes | bytearray | memoryview,
        binary: bool | None = None,
        compress: bool | None = None,
    ) -> None:
        """Send a message (RFC 6455 §6.1). Any greenlet and any thread may; it waits only where the peer does not keep
        up.

        Args:
            message: str goes out as text, bytes-like as binary.
            binary: True or False to say otherwise: a str as binary, bytes of UTF-8 as text.
            compress: False keeps extensions from compressing this message.

        Raises:
            ConnectionClosed: the connection has ended; it says how.
            TypeError: the message is neither str nor bytes-like; or it is binary, and the version has only text.
            UnicodeError: it cannot be text.
        """
        driver = self._driver
        if driver is None or driver.ready_state == CONNECTING:
            self.accept()
            driver = self._driver
        if self._thread != get_ident():
            call_in_hub(self._hub, self.send, message, binary, compress)
            return
        if self._burst > MAX_BURST and self._unsent() == 0:
            # Here, not behind the message that made it so much: what follows that is mostly a wait for the next one.
            self._pace()
        if self._write_blocked and self._outbound_limit >= 0 and self._is_behind():
            self._cut()
        opcode = TEXT
        if binary is None:
            if not isinstance(message, str):
                if not isinstance(message, (bytes, bytearray, memoryview)):
                    raise TypeError(f"send() takes str or bytes, not {type(message).__name__}")
                opcode = BINARY
        elif binary:
            opcode = BINARY
        elif not isinstance(message, str):
            message = bytes(message).decode()
        if len(message) >= LARGE and driver.direct and not self._secure and self._large is None:
            # Not copied: it is written from where it lies.
            data = message.encode() if isinstance(message, str) else bytes(message)
            if not driver.send_head(opcode, len(data)):
                raise self._closed_error()
            self._large = data
            self._large_start = 0
            self._split = len(self._out)
        elif not driver.send_data(opcode, message, compress):
            if driver.ready_state == OPEN:
                raise TypeError(f"{driver.version} carries text only, not {type(message).__name__}")
            raise self._closed_error()
        self.messages_sent += 1
        self._written()
        if self._sock is None:
            raise self._closed_error()
        if (self._write_blocked or self._out) and self._unsent() > self._write_limit:
            self._pace()

    def _broadcast(self, message: Any) -> bool:
        """Send a message that goes to many, without waiting; False where this connection cannot.

        Args:
            message: a ``Broadcast``; its frames are shared by the connections that frame alike.
        """
        driver = self._driver
        if driver is None or driver.ready_state != OPEN:
            return False
        framing = driver.framing
        if framing is None:
            if not driver.send_data(message.opcode, message.data, None):
                return False
            if not self._write_blocked and not message.later:
                self._flush()
        else:
            frames = message.frames
            if framing not in frames:
                frames[framing] = driver.frame(message.opcode, message.data)
            frame = frames[framing]
            if frame is None:
                return False
            self._share(frame, message.later)
        self.messages_sent += 1
        return self._sock is not None

    def _opened_driver(self) -> Driver:
        if self._driver is None or self._driver.ready_state == CONNECTING:
            self.accept()
        if self._driver.ready_state != OPEN:
            raise self._closed_error()
        return self._driver

    def ping(self, data: str | bytes = b"", callback: Any = None) -> bool:
        """Send a ping (RFC 6455 §5.5.2); ``callback()`` is called, in a greenlet of its own, when its pong comes.

        Args:
            data: at most 125 bytes; a str goes out as UTF-8.
            callback: without arguments; None for none.

        Returns:
            False where the protocol version has no pings.

        Raises:
            ConnectionClosed: the connection has ended.
            ValueError: the payload is over 125 bytes.
        """
        driver = self._opened_driver()
        if self._thread != get_ident():
            sent: bool = call_in_hub(self._hub, self.ping, data, callback)
            return sent
        sent = driver.ping(data, None if callback is None else _Spawned(self._hub, callback))
        self._written()
        return sent

    def pong(self, data: str | bytes = b"") -> bool:
        """Send a pong that nobody asked for (RFC 6455 §5.5.3); pings are answered without it.

        Args:
            data: at most 125 bytes; a str goes out as UTF-8.

        Returns:
            False where the protocol version has no pongs.

        Raises:
            ConnectionClosed: the connection has ended.
            ValueError: the payload is over 125 bytes.
        """
        driver = self._opened_driver()
        if self._thread != get_ident():
            sent: bool = call_in_hub(self._hub, self.pong, data)
            return sent
        sent = driver.pong(data)
        self._written()
        return sent

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Do the closing handshake (RFC 6455 §7.1.2), and wait for its end: at most ``close_timeout`` seconds. Closing
        twice is harmless.

        Args:
            code: says why.
            reason: a sentence for the peer; cut to 123 bytes of UTF-8.

        Raises:
            ValueError: a code that an application may not use: 1000, 1003, 1008, 1009, 1011, 1012, 1013 and 3000 to
                4999 are its own.
            TypeError: the reason is no str.
        """
        if isinstance(code, bool) or not isinstance(code, int) or not is_application_close_code(code):
            raise ValueError(
                f"{code!r} is no close code for an application: 1000, 1003, 1008, 1009, 1011, 1012, 1013, 3000-4999"
            )
        if not isinstance(reason, str):
            raise TypeError(f"the reason must be a str, not {type(reason).__name__}")
        if self._driver is None or self._driver.ready_state == CONNECTING:
            self.accept()
        if self._thread != get_ident():
            call_in_hub(self._hub, self.close, code, reason)
            return
        self._start_close(code, reason)
        self._wait_released()

    def _start_close(self, code: int, reason: str) -> None:
        """Send a close frame, if none has been sent, and let the rest happen by itself.

        A request that nobody has answered yet gets an HTTP error instead.
        """
        if get_ident() != self._thread:
            call_in_hub(self._hub, self._start_close, code, reason)
            return
        if self._sock is not None and self._driver.ready_state == CONNECTING and not self._client:
            self._driver.refuse(HandshakeError(reason, 500 if code == 1011 else 503))
        elif self._sock is not None and self._driver.close(code, reason):
            if self._sock is None:
                return
            self._stop_heartbeat()
            self._arm_close_deadline()
            if self._paused:
                self._resume()
            if not self._write_blocked:
                self._flush()

    def terminate(self) -> None:
        """Drop the connection at once, without a closing handshake (RFC 6455 §7.1.7): 1006."""
        if self._driver is None:
            self.accept()
        if self._thread != get_ident():
            call_in_hub(self._hub, self.terminate)
            return
        if self._driver.ready_state != CLOSED and self.close_error is None:
            self.close_error = ConnectionAbortedError("terminate() was called")
        self._lose(ConnectionAbortedError("terminate() was called"))

    def _closed_error(self) -> ConnectionClosed:
        """Return the error that says how it ended."""
        driver = self._driver
        if driver is None:
            error = ConnectionClosed("the connection was never opened")
        elif self.close_code is None:
            error = ConnectionClosed("the connection is closing", driver.close_received, driver.close_sent)
        else:
            reason = f" ({self.close_reason})" if self.close_reason else ""
            error = ConnectionClosed(
                f"the connection was closed with code {self.close_code}{reason}",
                driver.close_received,
                driver.close_sent,
            )
        error.__cause__ = self.close_error
        return error

    # --- listeners: in the greenlet that receives -------------------------------------------------------------------

    def on(self, event: str, callback: Listener | None = None) -> Callable[[L], L]:
        """Call ``callback(event)`` at each ``open message ping pong error close``; also a decorator.

        Listeners run in the greenlet that is in :meth:`run` or :meth:`receive`, one at a time, in the order in which
        things happened. With a listener for messages, let :meth:`run` do the receiving.

        Args:
            event: one of these names.
            callback: called with :class:`~wsdriver.events.MessageEvent` and so on; for ``error``, with the exception.

        Raises:
            ValueError: there is no such event.
        """
        check_event(event)
        if self._emitter is None:
            self._emitter = Emitter()
            if self._driver is not None:
                self._driver.keeps_controls = True
        return self._emitter.on(event, callback)

    def off(self, event: str, callback: Listener | None = None) -> None:
        """Remove a listener, or all of that event.

        Raises:
            ValueError: there is no such event.
        """
        check_event(event)
        if self._emitter is not None:
            self._emitter.off(event, callback)

    def run(self) -> None:
        """Receive until the end, handing each message to the listeners. What a listener raises comes out here."""
        running, self._running = self._running, True
        try:
            while True:
                message = self._next(None)
                if message is None:
                    return
                if self._emitter is not None:
                    self._emitter.emit("message", MessageEvent(message))
        finally:
            self._running = running

    def _leave(self) -> None:
        """Tell the listeners of the end where no greenlet will: whoever was in run() has left it before."""
        if self._waiter is None and not self._running:
            dispatch_end(self)

    def _has_message_listener(self) -> bool:
        return self._emitter is not None and self._emitter.has_listeners("message")

    def _dispatch_open(self) -> None:
        if self._emitter is not None:
            self._emitter.emit("open", OpenEvent())

    def _dispatch_control(self, item: tuple[int, bytes, int]) -> None:
        if self._emitter is not None:
            if item[0] == PING:
                self._emitter.emit("ping", PingEvent(item[1]))
            elif item[0] == PING + 1:
                self._emitter.emit("pong", PongEvent(item[1]))

    def _dispatch_error(self, error: BaseException) -> None:
        if self._emitter is not None:
            self._emitter.emit("error", error)

    def _dispatch_end(self) -> None:
        """Tell the listeners of the end, once."""
        if self._close_dispatched or self.close_code is None:
            return
        self._close_dispatched = True
        emitter = self._emitter
        if emitter is None:
            return
        try:
            if self.close_error is not None and not isinstance(self.close_error, OSError):
                emitter.emit("error", self.close_error)
        finally:
            emitter.emit("close", CloseEvent(self.close_code, self.close_reason or "", self.was_clean))

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``'connecting'``, ``'open'``, ``'closing'`` or ``'closed'``."""
        return "connecting" if self._driver is None else self._driver.state

    @property
    def ready_state(self) -> int:
        """:attr:`state` as a number: 0 connecting, 1 open, 2 closing, 3 closed, as in the browser."""
        return 0 if self._driver is None else self._driver.ready_state

    @property
    def protocol(self) -> str | None:
        """The subprotocol that was agreed (RFC 6455 §1.9), or None."""
        return None if self._driver is None else self._driver.protocol

    @property
    def version(self) -> str | None:
        """The protocol version's name: ``'hybi-13'`` for RFC 6455, ``'hixie-76'`` and others for what came before; None
        before the handshake.
        """
        return None if self._driver is None else self._driver.version

    @property
    def max_length(self) -> int:
        """Bytes that a message of the peer may have, 0 for no limit.

        It may be set at any time, for this connection only. Messages that wait for ``receive`` have been judged
        already; the one that is being read may be judged by either.

        Raises:
            ConfigurationError: it is set to what the option cannot be.
        """
        limit: int = self.options.max_length if self._driver is None else self._driver.max_length
        return limit

    @max_length.setter
    def max_length(self, value: int) -> None:
        if self._driver is None:
            # The driver will be made of the options.
            self.options = replace(self.options, max_length=value)
        else:
            self._driver.max_length = value

    @property
    def pingable(self) -> bool:
        """Whether the protocol version has pings."""
        return self._driver is None or self._driver.pingable

    @property
    def supports_close_codes(self) -> bool:
        """Whether the protocol version's close frames carry a code."""
        return self._driver is None or self._driver.supports_close_codes


class _Latency:
    """Notes how long the pong to a ping of the heartbeat took."""

    __slots__ = ("_connection", "_sent")

    def __init__(self, connection: Connection, sent: float) -> None:
        self._connection = connection
        self._sent = sent

    def __call__(self) -> None:
        self._connection.latency = monotonic() - self._sent


class _Spawned:
    """A callback of the application, called in a greenlet of its own: the hub must not run it."""

    __slots__ = ("_callback", "_hub")

    def __init__(self, hub: Any, callback: Any) -> None:
        self._hub = hub
        self._callback = callback

    def __call__(self) -> None:
        spawn_for(self._hub, self._callback)
