"""WebSockets under ``gevent.pywsgi``: pass ``handler_class=WebSocketHandler``."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from gevent.pywsgi import WSGIHandler, WSGIServer

from wsdriver.environ import is_websocket
from wsdriver.green.connection import Connection
from wsdriver.green.registry import Registry
from wsdriver.green.websocket import WebSocket
from wsdriver.green.wsgi import KEY, Takeover, end_session

__all__ = ["WebSocketHandler"]

_registries: WeakKeyDictionary[WSGIServer, Registry] = WeakKeyDictionary()


def _registry_of(server: WSGIServer) -> Registry:
    """Return the server's connections; they are closed with 1001 when it stops."""
    registry = _registries.get(server)
    if registry is None:
        registry = _registries[server] = Registry()
        # The server has no hook for its end, but an event that it sets.
        server._stop_event.rawlink(lambda _: registry.start_closing())
    return registry


class WebSocketHandler(WSGIHandler):  # type: ignore[misc]  # gevent has no types for it
    """Hands the connection over to a :class:`~wsdriver.WebSocket`; other requests are served as ever.

    ::

        WSGIServer(("", 8000), app, handler_class=wsdriver.WebSocketHandler).serve_forever()
    """

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        if is_websocket(environ):
            environ[KEY] = Takeover(self.socket, self._buffered, self._claimed)
            environ["wsgi.websocket"] = WebSocket(environ)
        return environ

    def _buffered(self) -> bytes:
        # peek() blocks on an empty buffer, unless the socket does not.
        self.socket.settimeout(0)
        try:
            early: bytes = self.rfile.peek()
        except OSError:
            early = b""
        return early

    def _claimed(self, connection: Connection) -> None:
        _registry_of(self.server).add(connection)

    def run_application(self) -> None:
        takeover = self.environ.get(KEY)
        if takeover is None:
            super().run_application()
            return
        failure: BaseException | None = None
        try:
            self.result = self.application(self.environ, self.start_response)
            if takeover.connection is None:
                self.process_result()
        except BaseException as error:
            if takeover.connection is None:
                raise
            failure = error
        finally:
            close = getattr(self.result, "close", None)
            self.result = None
            if close is not None:
                close()
        if takeover.connection is not None:
            self._end(takeover.connection, failure)

    def _end(self, connection: Connection, failure: BaseException | None) -> None:
        end_session(connection, failure)
        # For the access log, and so that nothing more is written.
        self.close_connection = True
        self.rfile.close()
        opened = connection.version is not None
        self.status = b"101 Switching Protocols" if opened else b"400 Bad Request"
        self._orig_status = self.status.decode()
        self.headers_sent = True
        self.response_length = connection.bytes_sent
