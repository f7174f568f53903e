"""Server-sent events (HTML §9.2) to one client."""

from __future__ import annotations

import socket as stdlib_socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isinf
from time import monotonic
from typing import Any, cast

from wsdriver.environ import Environ, url_of
from wsdriver.events import CloseEvent, L, Listener, check_event
from wsdriver.exceptions import ConfigurationError, ConnectionClosed
from wsdriver.framing.eventstream import COMMENT, serialize_event, serialize_retry
from wsdriver.green.loop import call_in_hub, scratch_of, spawn_for
from wsdriver.green.sockio import read_into, unacknowledged
from wsdriver.green.takeover import takeover_of
from wsdriver.green.transport import Transport
from wsdriver.green.wsgi import WsgiResponse
from wsdriver.http import check_header, serialize_head
from wsdriver.log import log
from wsdriver.options import check_int, check_seconds, make_options

__all__ = ["EventSource", "EventSourceOptions"]

#: Seconds that a client has, after the last byte, to close its side.
LINGER = 1.0

#: Reads in one go; then others have their turn.
MAX_ROUNDS = 16

#: The stream's end is the connection's, and what it carries is events.
_FIXED = frozenset(("connection", "content-length", "content-type", "transfer-encoding"))


@dataclass(frozen=True)
class EventSourceOptions:
    """The options of an event stream.

    Attributes:
        headers: more headers of the response, as a mapping; they may replace Cache-Control and X-Accel-Buffering.
        retry: seconds that a client shall wait before it comes back.
        ping: seconds between the comments that keep proxies from cutting the connection; None for none.
        ping_timeout: seconds in which a client's host must acknowledge something of what is on its way; None to never
            judge.
        send_timeout: seconds that ``send`` may wait for a slow client before the connection is cut.
        close_timeout: seconds that the rest may take to go out at the end.
        write_limit: bytes that may wait for a slow client before ``send`` waits.
        outbound_limit: bytes that may wait for a slow client when one more event comes, else it is cut off. None
            for never by ``send``, which waits, and for 1 MiB by a broadcast.
    """

    headers: Any = field(default_factory=dict)
    retry: float | None = 5
    ping: float | None = 15
    ping_timeout: float | None = 20
    send_timeout: float | None = None
    close_timeout: float | None = 10
    write_limit: int = 64 * 1024
    outbound_limit: int | None = None

    def __post_init__(self) -> None:
        for name in ("retry", "ping", "ping_timeout", "send_timeout", "close_timeout"):
            check_seconds(name, getattr(self, name))
        if self.retry is not None and isinf(self.retry):
            raise ConfigurationError("retry must be a number of seconds that can be told, not infinite")
        check_int("write_limit", self.write_limit, 0)
        if self.outbound_limit is not None:
            check_int("outbound_limit", self.outbound_limit, 1)
        if not isinstance(self.headers, Mapping):
            raise ConfigurationError(f"headers must be a mapping of names to values, not {self.headers!r}")
        for name, value in self.headers.items():
            check_header(name, value)
            if name.lower() in _FIXED:
                raise ConfigurationError(f"the header {name} is the event stream's own")


class EventSource(Transport):
    """An event stream in a WSGI application: the other side of a browser's ``EventSource`` (HTML §9.2).

    ::

        def app(environ, start_response):
            if wsdriver.is_eventsource(environ):
                es = wsdriver.EventSource(environ, retry=10)
                for news in feed(after=es.last_event_id):
                    es.send(news.text, event="news", id=news.id)
                return es.wsgi_response()
            ...

    The response's head goes out at once. That the client has gone is noticed at once, also while nothing is sent: the
    next ``send`` raises, and listeners for ``close`` are called. (One that ends its side of the connection has gone.) A
    HEAD request gets the head, and the stream is over.

    Args:
        environ: of the request (PEP 3333).
        **options: see :class:`~wsdriver.green.eventsource.EventSourceOptions`.

    Attributes:
        environ (Mapping[str, Any]): as given.
        close_error (BaseException | None): what ended it where that was an error.
        bytes_received (int): on the wire, without TLS.
        bytes_sent (int): likewise.

    Raises:
        ConfigurationError: an option has a wrong name or value, or the server cannot hand over its connection.
    """

    __slots__ = ("__dict__", "_acknowledged", "_listeners", "_progress", "_state", "environ")

    def __init__(self, environ: Environ, **options: Any) -> None:
        if not isinstance(environ, Mapping):
            raise ConfigurationError(f"EventSource() takes a WSGI environ, not {type(environ).__name__}")
        chosen = make_options(EventSourceOptions, options)
        takeover = takeover_of(environ)
        super().__init__(chosen, takeover.hub)
        self.environ = environ
        self._state = "open"
        self._listeners: list[Listener] = []
        self._acknowledged = 0
        self._progress = monotonic()
        if self._is_elsewhere():
            call_in_hub(self._hub, self._start, takeover)
        else:
            self._start(takeover)

    def _start(self, takeover: Any) -> None:
        sock, early = takeover.claim(self)
        self.bytes_received = len(early)
        if not self._watch(sock, bytearray(self._head()), hasattr(sock, "unwrap")):
            self._lose(ConnectionAbortedError("the socket was closed before the stream began"))
            return
        self._flush()
        if self.environ.get("REQUEST_METHOD") == "HEAD":
            self._start_close()
        elif self._sock is not None and self.options.ping is not None:
            self._timer = self._loop.timer(self.options.ping, self.options.ping)
            self._timer.start(self._beat)

    def _head(self) -> bytes:
        given = {name.lower() for name in self.options.headers}
        fields = [
            ("Content-Type", "text/event-stream"),
            ("Cache-Control", "no-cache, no-transform"),
            ("X-Accel-Buffering", "no"),
            ("Connection", "close"),
        ]
        fields = [item for item in fields if item[0].lower() not in given]
        head = serialize_head("HTTP/1.1 200 OK", [*fields, *self.options.headers.items()])
        if self.environ.get("REQUEST_METHOD") == "HEAD":
            return head
        return head + (COMMENT if self.options.retry is None else serialize_retry(self.options.retry))

    # --- sending ----------------------------------------------------------------------------------------------------

    def send(self, message: str, event: str | None = None, id: str | None = None) -> None:  # noqa: A002  # as in HTML
        """Send an event. Any greenlet and any thread may; it waits only where the client does not keep up.

        Args:
            message: its data; lines may end in CRLF, LF or CR.
            event: its type; None for ``message``.
            id: what the client repeats in Last-Event-ID when it comes back.

        Raises:
            ConnectionClosed: the stream has ended.
            ValueError: CR, LF or NUL in ``event`` or ``id``.
            TypeError: a value is no str.
        """
        self._write(serialize_event(message, event, id))

    def ping(self) -> None:
        """Send a comment, which no client sees.

        Raises:
            ConnectionClosed: the stream has ended.
        """
        self._write(COMMENT)

    def _write(self, data: bytes) -> None:
        if self._is_elsewhere():
            call_in_hub(self._hub, self._write, data)
            return
        if self._outbound_limit >= 0 and self._is_behind():
            self._cut()
        if self._state == "open":
            self._out += data
            if not self._write_blocked:
                self._flush()
        if self._state != "open":
            raise self._closed_error()
        self._pace()

    def _broadcast(self, message: Any) -> bool:
        """Send a message that goes to many, without waiting; False where this stream cannot."""
        event = message.event()
        if event is None or self._state != "open":
            return False
        self._share(event, message.later)
        return self._sock is not None

    def _emptied(self, was_blocked: bool) -> None:
        self._wake_drained()
        if self._state == "closing":
            self._finish()
        elif self._secure:
            self._on_readable()

    # --- reading: only to notice the end ----------------------------------------------------------------------------

    def _on_readable(self) -> None:
        if self._sock is None:
            return
        if self._write_for_read:
            self._write_for_read = self._write_blocked = False
            self._flush()
            if self._sock is not None and not self._write_blocked:
                self._emptied(True)
        scratch = scratch_of(self._hub)
        for _ in range(MAX_ROUNDS):
            if self._sock is None:
                return
            try:
                count = read_into(self._sock, self._fd, scratch)
            except OSError as error:
                self._read_failed(error)
                return
            if count == 0:
                self._lose(ConnectionResetError("the client went away"))
                return
            if count < 0:
                if count == -2:
                    self._watch_writable()
                return
            self.bytes_received += count
            if not self._secure:
                return
        self._loop.run_callback(self._on_readable)

    # --- heartbeat: in the hub --------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Send a comment. A client whose host acknowledges nothing of what is on its way has vanished."""
        now = monotonic()
        waiting = unacknowledged(self._sock)
        # Since the last beat: TLS makes more bytes of ours, so that what was in flight then counts for more than it is.
        before, self._acknowledged = self._acknowledged, self.bytes_sent - waiting
        if waiting == 0 or self._acknowledged > before:
            self._progress = now
        elif self.options.ping_timeout is not None and now - self._progress >= self.options.ping_timeout:
            self._lose(TimeoutError(f"the client has acknowledged nothing for {now - self._progress:.1f} seconds"))
            return
        if not self._write_blocked:
            self._out += COMMENT
            self._flush()

    # --- the end ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the stream, and wait until all of it has gone out: at most ``close_timeout`` seconds. A browser will come
        back after ``retry`` seconds: only the page can tell it not to.
        """
        self._start_close()
        self._wait_released()

    def terminate(self) -> None:
        """Drop the connection at once."""
        if self._is_elsewhere():
            call_in_hub(self._hub, self.terminate)
            return
        self._lose(ConnectionAbortedError("terminate() was called"))

    def run(self) -> None:
        """Wait until the client has gone, or somebody closes the stream."""
        self._wait_released()

    def wsgi_response(self) -> WsgiResponse:
        """Finish, and return what the application has to return.

        With a listener for ``close``, this waits for the end first: others send, and the listener tells them to stop.
        """
        if self._has_message_listener():
            self.run()
        self.close()
        return WsgiResponse(self.http_status)

    def _start_close(self, code: int = 1000, reason: str = "") -> None:
        """Let the rest go out, and close; there is nobody to tell the code and reason that a WebSocket would."""
        if self._is_elsewhere():
            call_in_hub(self._hub, self._start_close)
            return
        if self._state != "open":
            return
        self._state = "closing"
        self._set_deadline(self.options.close_timeout)
        if self._unsent() == 0:
            self._finish()

    def _finish(self) -> None:
        if self._secure:
            self._release()  # which says so in TLS
            return
        # A close with unread bytes would reset the connection, and the client lose the last events.
        try:
            self._sock.shutdown(stdlib_socket.SHUT_WR)
        except OSError:
            self._release()
        else:
            self._set_deadline(LINGER)

    def _set_deadline(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
        if seconds is not None:
            self._timer = self._loop.timer(seconds)
            self._timer.start(self._lose, TimeoutError("the client did not take the rest of the stream in time"))

    def _lose(self, error: BaseException) -> None:
        if self._state == "open" or self._unsent() > 0:
            self.close_error = error
        self._release()

    def _gone(self) -> None:
        self._state = "closed"
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            self._tell_end(listener)

    def _tell_end(self, listener: Listener) -> None:
        """Call a listener in a greenlet of its own. What it raises is its own affair: the others are called too."""
        event = CloseEvent(1000 if self.close_error is None else 1006, "", self.close_error is None)

        def call() -> None:
            try:
                listener(event)
            except Exception:
                log.exception("error in a listener for the end of an event stream")

        spawn_for(self._hub, call)

    def _dispatch_end(self) -> None:
        """The listeners have been told when the socket was closed."""

    def _closed_error(self) -> ConnectionClosed:
        error = ConnectionClosed("the event stream has ended")
        error.__cause__ = self.close_error
        return error

    def on(self, event: str, callback: Listener | None = None) -> Callable[[L], L]:
        """Call ``callback(event)`` at the stream's ``close``, once, in a greenlet of its own; also a decorator.

        ``event.was_clean`` is False where the client went away. A stream that has ended already calls at once.
        """

        check_event(event, ("close",))

        def add(listener: L) -> L:
            if self._is_elsewhere():
                call_in_hub(self._hub, self._add_listener, listener)
            else:
                self._add_listener(listener)
            return listener

        return add if callback is None else cast("Callable[[L], L]", add(callback))

    def _add_listener(self, listener: Listener) -> None:
        if self._state == "closed":
            self._tell_end(listener)
        else:
            self._listeners.append(listener)

    def off(self, event: str, callback: Listener | None = None) -> None:
        """Remove a listener, or all of that event."""
        check_event(event, ("close",))
        if callback is None:
            self._listeners.clear()
        elif callback in self._listeners:
            self._listeners.remove(callback)

    # --- what a server asks -----------------------------------------------------------------------------------------

    def accept(self) -> bool:
        """The response has begun already. Returns whether the stream is open."""
        return self._state == "open"

    def _has_message_listener(self) -> bool:
        return bool(self._listeners)

    def _dispatch_error(self, error: BaseException) -> None:
        """There is nobody who listens to errors."""

    def _request_ended(self, status: int) -> None:
        self._start_close()

    @property
    def http_status(self) -> str:
        """The status line of the response, for an access log."""
        return "200 OK"

    # --- what is known ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL that the client asked for."""
        return "http" + url_of(self.environ)[2:]

    @property
    def last_event_id(self) -> str:
        """The id of the last event that the client got, before it came back; empty where it says nothing."""
        value: str = self.environ.get("HTTP_LAST_EVENT_ID", "")
        try:
            return value.encode("latin-1").decode()
        except UnicodeDecodeError:
            return value  # a browser sends UTF-8; some other clients Latin-1

    @property
    def state(self) -> str:
        """``'open'``, ``'closing'`` or ``'closed'``."""
        return self._state

    @property
    def ready_state(self) -> int:
        """1 open, 2 closing, 3 closed, as a WebSocket's."""
        return {"open": 1, "closing": 2, "closed": 3}[self._state]
