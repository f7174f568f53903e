"""A look at a running WSGI application."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gevent.event import Event

from wsdriver.driver.server import reason_of
from wsdriver.environ import Environ, is_eventsource, is_websocket
from wsdriver.exceptions import ConfigurationError, ConnectionClosed, HandshakeError
from wsdriver.green.eventsource import EventSource
from wsdriver.green.monitor.figures import INTERVAL
from wsdriver.green.monitor.view import HEADERS, PATH, View
from wsdriver.green.native import allocate_lock
from wsdriver.green.stats import Ledger
from wsdriver.green.takeover import find_takeover

__all__ = ["Monitor"]


class Monitor:
    """Shows what the WebSockets of a WSGI application do, at an address of its own; all else goes to the application.

    ::

        app = wsdriver.monitor(app)  # http://localhost:8000/_wsdriver

    There are the page, ``/_wsdriver``; its figures, ``/_wsdriver/json``; and for Prometheus, ``/_wsdriver/metrics``
    (with ``pip install 'wsdriver[monitor]'``). They are those of one process: of several workers, each shows itself.
    They are made when somebody looks, of counters that are there anyway.

    Strangers are turned away. Unless told otherwise, only this machine may look: a loopback address, asked for by a
    loopback name, and no sign of a proxy. Where a proxy runs on this machine, and does not say for whom, set a token.

    Args:
        app: the WSGI application.
        path: where to show it.
        token: a long secret: who has it may look, from anywhere, and nobody else. A browser asks for it (as a password,
            with any user name), a program sends ``Authorization: Bearer TOKEN``.
        allow: ``allow(environ)`` says who may look, by the application's own rules.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    def __init__(
        self,
        app: Any,
        path: str = PATH,
        *,
        token: str | None = None,
        allow: Callable[[Environ], object] | None = None,
    ) -> None:
        if not callable(app):
            raise ConfigurationError(f"app must be a WSGI application, which can be called, not {app!r}")
        self.app = app
        if hasattr(app, "app_protocol"):
            self.app_protocol = app.app_protocol  # gevent-websocket's: the server asks the application that it has
        self._ledger = Ledger()
        self._view = View(self._ledger, path, token, allow)
        self._lock = allocate_lock()  # handlers may be threads

    def figures(self) -> dict[str, Any]:
        """Return what ``/json`` shows, as a dict."""
        return self._view.meter.look()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        part = self._view.part_of(environ.get("PATH_INFO", ""))
        if part is not None:
            return self._show(environ, start_response, part)
        if is_websocket(environ) or is_eventsource(environ):
            return self._watch(environ, start_response)
        return self.app(environ, start_response)

    # --- counting ---------------------------------------------------------------------------------------------------

    def _watch(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Call the application, and count what takes the connection."""
        try:
            takeover = find_takeover(environ)
        except ConfigurationError:
            takeover = None  # the application will hear of it
        if takeover is None:
            return self.app(environ, start_response)
        request = _Request(self)
        takeover.watch(request.claimed)
        try:
            return self.app(environ, start_response)
        finally:
            request.returned()

    def _begin(self, connection: Any) -> None:
        with self._lock:
            if isinstance(connection, EventSource):
                self._view.streams.add(connection)
            else:
                self._ledger.begin(connection)

    def _end(self, connection: Any) -> None:
        with self._lock:
            if isinstance(connection, EventSource):
                self._view.streams.discard(connection)
            else:
                self._ledger.end(connection)

    # --- showing ----------------------------------------------------------------------------------------------------

    def _show(self, environ: dict[str, Any], start_response: Any, part: str) -> Any:
        try:
            self._view.check(environ)
            if part == "/events" and is_eventsource(environ):
                return self._stream(environ)
            status = 200
            headers, text = self._view.show(environ, part)
        except HandshakeError as error:
            status, text = error.status, f"{error}\n"
            headers = {"Content-Type": "text/plain; charset=utf-8", **error.headers}
        body = text.encode()
        fields = [*HEADERS.items(), *headers.items(), ("Content-Length", str(len(body)))]
        start_response(f"{status} {reason_of(status)}", fields)
        return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]

    def _stream(self, environ: Environ) -> Any:
        """Send the figures each second, until the page goes."""
        gone = Event()
        try:
            es = EventSource(environ, retry=2, headers=HEADERS)
        except ConfigurationError as error:
            raise HandshakeError(str(error), 501) from error
        es.on("close", lambda event: gone.set())
        try:
            es.send(json.dumps(self._view.meter.history()), event="history")
            while not gone.is_set():
                es.send(json.dumps(self._view.meter.look()))
                gone.wait(INTERVAL)
        except ConnectionClosed:
            pass
        return es.wsgi_response()


class _Request:
    """The connection of one request, which has ended when its socket is closed and its handler is done: until then that
    may take messages that have come before the end.

    Args:
        monitor: which counts it.
    """

    __slots__ = ("_connection", "_monitor", "_released", "_returned")

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._connection: Any = None
        self._released = False
        self._returned = False

    def claimed(self, connection: Any) -> None:
        """Somebody has taken it."""
        self._connection = connection
        self._monitor._begin(connection)
        connection._at_release(self._release)

    def _release(self, connection: Any) -> None:
        self._released = True
        if self._returned:
            self._monitor._end(connection)

    def returned(self) -> None:
        """The application has returned. (A generator has not begun yet.)"""
        self._returned = True
        if self._released:
            self._monitor._end(self._connection)
