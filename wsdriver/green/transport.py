# cython: language_level=3, annotation_typing=False, binding=True
"""A socket of a hub: the one write path, and the one end, of everything that keeps a connection open here.

Writing. Bytes are appended to one buffer, whole, without a switch in between, so what many greenlets send never mixes
and no lock is needed; other threads have it done in the hub's thread. A greenlet waits only when a slow peer leaves
more than ``write_limit`` bytes in the buffer.

The end. ``_release`` is the only place where the socket is closed, and every waiter is woken there at the latest.
"""

from __future__ import annotations

import errno
import socket as stdlib_socket
from time import monotonic
from typing import Any

from gevent import get_hub, getcurrent, spawn_later
from gevent.hub import Waiter

from wsdriver.exceptions import ConnectionClosed
from wsdriver.green.loop import call_in_hub
from wsdriver.green.openssl import clear_errors
from wsdriver.green.sockio import get_ident, inner_tls, write_both, write_from, write_tls
from wsdriver.green.waking import pass_turn

__all__ = ["Transport"]

READ = 1
WRITE = 2

#: Bytes that may be sent in one turn of the loop: then others have theirs. (A peer that takes all at once would never
#: make a sender wait.)
MAX_BURST = 1024 * 1024

#: What a system call counts for in this, whatever it writes: as many bytes as take as long.
CALL_COST = 8192

#: From this size on, a server's payload is not copied into the buffer.
LARGE = 32768

#: The system is short of memory: the connection is as it was, and what failed may be tried again, in so many seconds.
SHORT = frozenset([errno.ENOBUFS, errno.ENOMEM])
PAUSE = 0.1

#: The ``outbound_limit`` of broadcasts, where the options have none.
BROADCAST_LIMIT = 1024 * 1024


class Transport:
    """A socket, watched by its hub, and the bytes that wait for it.

    It belongs to one hub, and so to that hub's thread; calls from other threads are done there. A subclass reads
    (:meth:`_on_readable`) and says what its end means (:meth:`_lose`, :meth:`_gone`, :meth:`_closed_error`).

    Args:
        options: of which ``write_limit``, ``outbound_limit`` and ``send_timeout`` are looked at.
        hub: to which it belongs; the running thread's unless given.

    Attributes:
        close_error: what ended it where that was an error, else None.
        bytes_received, bytes_sent: counts, on the wire.
    """

    __slots__ = (
        "__weakref__",
        "_burst",
        "_drained",
        "_due",
        "_ended",
        "_fd",
        "_hub",
        "_large",
        "_large_start",
        "_loop",
        "_on_release",
        "_out",
        "_outbound_limit",
        "_reader",
        "_released",
        "_secure",
        "_sock",
        "_split",
        "_thread",
        "_timer",
        "_tls",
        "_write_blocked",
        "_write_for_read",
        "_write_limit",
        "_writer",
        "bytes_received",
        "bytes_sent",
        "close_error",
        "options",
    )

    def __init__(self, options: Any, hub: Any = None) -> None:
        self.options = options
        self._hub: Any = get_hub() if hub is None else hub
        self._loop: Any = self._hub.loop
        self._thread = self._hub.thread_ident
        self._sock: Any = None
        self._fd = -1
        self._secure = False
        self._tls: Any = None  # what does it inside of the socket, where that is known
        self._out: bytearray = None  # type: ignore[assignment]  # until _watch
        self._large: bytes = None  # type: ignore[assignment]  # a payload on its way: behind out[:_split]
        # (Where the buffer is empty, and the socket is not waited for, nothing is unsent: its head comes before it.)
        self._large_start = 0
        self._split = 0
        self._burst = 0
        self._write_limit = options.write_limit
        limit = options.outbound_limit
        self._outbound_limit = -1 if limit is None else limit
        self._write_blocked = False
        self._write_for_read = False
        self._reader: Any = None
        self._writer: Any = None
        self._timer: Any = None
        self._due = False  # among those that the broadcasts of this turn write to at its end
        self._drained: list[Any] | None = None
        self._ended: list[Any] | None = None
        self._on_release: Any = ()
        self._released = False
        self.close_error: BaseException | None = None
        self.bytes_received = 0
        self.bytes_sent = 0

    # --- what a subclass gives --------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        """There is something to read, or the end."""
        raise NotImplementedError

    def _lose(self, error: BaseException) -> None:
        """The connection is gone, for this reason."""
        raise NotImplementedError

    def _closed_error(self) -> ConnectionClosed:
        """Return the error for who uses it after its end."""
        raise NotImplementedError

    def _write_failed(self, error: OSError) -> None:
        """A write said that the connection is gone."""
        self._lose(error)

    def _emptied(self, was_blocked: bool) -> None:
        """The buffer has been written, after a wait for the socket."""

    def _gone(self) -> None:
        """The socket has been closed."""

    # --- the socket -------------------------------------------------------------------------------------------------

    def _is_elsewhere(self) -> bool:
        """Tell whether this is another thread than the connection's."""
        elsewhere: bool = get_ident() != self._thread
        return elsewhere

    def _watch(self, sock: Any, out: bytearray, secure: bool) -> bool:
        """Take a connected socket, and watch it until the end; False where it has been closed already.

        Args:
            sock: any socket object, of gevent or not.
            out: the buffer of what is to be written.
            secure: whether the socket does TLS, so that only its own methods may read and write.
        """
        self._sock = sock
        self._out = out
        self._secure = secure
        sock.settimeout(0)
        try:
            sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        except OSError:
            pass  # no TCP, or gone already: reading will tell
        fd = sock.fileno()
        self._fd = -1 if secure else fd
        self._tls = inner_tls(sock) if secure else None
        if fd < 0:
            return False
        self._reader = self._loop.io(fd, READ)
        self._reader.start(self._on_readable)
        return True

    def _read_failed(self, error: OSError) -> None:
        """A read said that the connection is gone; or that there is no memory for it now. (TLS cannot go on then.)"""
        if error.errno in SHORT and not self._secure:
            self._reader.stop()
            spawn_later(PAUSE, self._read_again)
        else:
            self._lose(error)

    def _read_again(self) -> None:
        if self._reader is not None:
            self._reader.start(self._on_readable)

    # --- writing ----------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Write what the socket takes; the rest goes when it is writable."""
        out = self._out
        while out or self._large is not None:
            try:
                if self._tls is not None:
                    count = write_tls(self._tls, out)
                elif self._large is None:
                    count = write_from(self._sock, self._fd, out)
                else:
                    count = write_both(self._sock, self._fd, out, self._split, self._large, self._large_start)
            except OSError as error:
                if error.errno in SHORT and not self._secure:
                    self._write_blocked = True
                    spawn_later(PAUSE, self._watch_writable)
                else:
                    self._write_failed(error)
                return
            if count < 0:
                self._await_socket(count)
                return
            self.bytes_sent += count
            self._burst += count + CALL_COST
            if self._large is None:
                if count == len(out):
                    out.clear()
                    return
            else:
                of_out = min(count, self._split)
                self._split -= of_out
                self._large_start += count - of_out
                if self._large_start == len(self._large):
                    self._large = None  # type: ignore[assignment]
                count = of_out
            del out[:count]
            if (self._large is not None or len(out) > 0) and self._burst > MAX_BURST:
                self._await_socket(-2)  # which is at once, when others have had their turn
                return

    def _write_once(self) -> bool:
        """Write some of the buffer, in the midst of reading; False where that cannot be, which the next flush tells."""
        try:
            if self._tls is not None:
                count = write_tls(self._tls, self._out)
            else:
                count = write_from(self._sock, self._fd, self._out)
        except OSError:
            return False
        if count > 0:
            self.bytes_sent += count
            self._burst += count + CALL_COST
            del self._out[:count]
        else:
            self._await_socket(count)
        return True

    def _await_socket(self, count: int) -> None:
        """Write on when the socket can: what a write returned says for what it waits, see ``sockio``."""
        self._write_blocked = True
        if count == -1:
            self._write_for_read = True
        else:
            self._watch_writable()

    def _share(self, data: bytes, later: bool) -> None:
        """Take what other connections take as well: it is not copied, unless it is small or something else waits.

        Args:
            data: to be written now, or as soon as the peer takes more.
            later: whether the caller sees to it that it is written.
        """
        if later and len(data) < LARGE:
            self._out += data
            return
        if self._large is None and not self._secure:
            self._large = data
            self._large_start = 0
            self._split = len(self._out)
        else:
            self._out += data
        if not self._write_blocked:
            self._flush()

    def _is_behind(self) -> bool:
        """Tell whether more waits than may, for one who does not wait himself."""
        if self._sock is None:
            return False  # nothing does: it has not begun, or is over
        limit = BROADCAST_LIMIT if self._outbound_limit < 0 else self._outbound_limit
        if self._unsent() > limit and not self._write_blocked:
            self._flush()  # it may only have waited for the end of this turn
        return self._write_blocked and self._unsent() > limit

    def _cut(self) -> None:
        """End the connection of a peer that does not take what it is sent."""
        limit = BROADCAST_LIMIT if self._outbound_limit < 0 else self._outbound_limit
        waited = f"{self._unsent()} bytes waited for it, over the limit of {limit} (outbound_limit)"
        self._lose(ConnectionAbortedError(f"the peer was cut: {waited}"))

    def _unsent(self) -> int:
        """Return how many bytes wait for the socket."""
        size = len(self._out)
        if self._large is not None:
            size += len(self._large) - self._large_start
        return size

    def _watch_writable(self) -> None:
        if self._sock is None:
            return
        if self._writer is None:
            self._writer = self._loop.io(self._sock.fileno(), WRITE)
        if not self._writer.active:
            self._writer.start(self._on_writable)

    def _on_writable(self) -> None:
        if self._sock is None:
            return
        was_blocked = self._write_blocked
        self._write_blocked = False
        self._burst = 0
        self._flush()
        if self._sock is None or self._write_blocked:
            return
        self._writer.stop()
        self._emptied(was_blocked)

    def _wake_drained(self) -> None:
        waiting = self._drained
        if waiting is not None and (self._sock is None or self._unsent() <= self._write_limit):
            self._drained = None
            for waiter in waiting:
                self._loop.run_callback(waiter.switch, None)

    def _wait_drained(self) -> None:
        """Wait until the peer has taken enough of the buffer.

        Raises:
            ConnectionClosed: it never did.
        """
        current = getcurrent()
        if current is self._hub:
            return  # the hub must not wait; the next sender will
        timeout = self.options.send_timeout
        deadline = None if timeout is None else monotonic() + timeout
        while self._sock is not None and self._unsent() > self._write_limit:
            if self._drained is None:
                self._drained = []
            # (Where this loop was late, the peer may have taken it all the same.)
            if not self._sleep(self._drained, deadline) and self._unsent() > self._write_limit:
                self._lose(TimeoutError(f"the peer did not take what was sent within {timeout} seconds"))
        if self._sock is None:
            raise self._closed_error()

    def _pace(self) -> None:
        """Make a greenlet that has just sent wait for a slow peer, and let others have their turn before a fast one."""
        if self._unsent() > self._write_limit:
            self._wait_drained()
        elif self._burst > MAX_BURST:
            self._burst = 0
            if getcurrent() is not self._hub:
                pass_turn(self._hub)

    def _sleep(self, waiting: list[Any], deadline: float | None) -> bool:
        """Wait in that list until somebody wakes it; False where the deadline has passed."""
        timer = None
        waiter = Waiter(self._hub)
        waiting.append(waiter)
        if deadline is not None:
            timer = self._loop.timer(max(deadline - monotonic(), 0))
            timer.start(waiter.switch, None)
        try:
            waiter.get()
        finally:
            if timer is not None:
                timer.stop()
                timer.close()
            if waiter in waiting:
                waiting.remove(waiter)
        return deadline is None or monotonic() < deadline

    @property
    def buffered_amount(self) -> int:
        """Bytes that wait to be taken by the network."""
        return 0 if self._out is None else self._unsent()

    # --- the end ----------------------------------------------------------------------------------------------------

    def _release(self) -> None:
        """Close the socket, and wake all who wait."""
        if self._released:
            return
        self._released = True
        sock, self._sock = self._sock, None
        self._tls = None
        for watcher in (self._reader, self._writer, self._timer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._reader = self._writer = self._timer = None
        if self._secure:
            try:
                sock.unwrap()
            except (OSError, ValueError):
                clear_errors()
        sock.close()
        self._out.clear()
        self._large = None  # type: ignore[assignment]
        self._gone()
        self._wake_drained()
        ended, self._ended = self._ended, None
        for waiting in ended or ():
            self._loop.run_callback(waiting.switch, None)
        told, self._on_release = self._on_release, ()
        for tell in told:
            tell(self)

    def _at_release(self, tell: Any) -> None:
        """Have ``tell(self)`` called in the hub when the socket is closed; now where it has been."""
        if self._is_elsewhere():
            call_in_hub(self._hub, self._at_release, tell)
        elif self._released:
            tell(self)
        else:
            self._on_release += (tell,)

    def _forget_release(self, tell: Any) -> None:
        """Undo :meth:`_at_release`."""
        if self._is_elsewhere():
            call_in_hub(self._hub, self._forget_release, tell)
        else:
            self._on_release = tuple(other for other in self._on_release if other != tell)

    def _wait_released(self) -> None:
        """Wait until the socket is closed."""
        if self._is_elsewhere():
            call_in_hub(self._hub, self._wait_released)
            return
        current = getcurrent()
        if current is self._hub:
            return
        while self._sock is not None:
            if self._ended is None:
                self._ended = []
            self._sleep(self._ended, None)
