"""WebSockets and event streams under ``gevent.pywsgi``: pass ``handler_class=WebSocketHandler``."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

from gevent.pywsgi import Input, WSGIHandler, WSGIServer

from wsdriver.environ import is_eventsource, is_websocket
from wsdriver.green.registry import Registry
from wsdriver.green.takeover import KEY, Takeover, file_buffered
from wsdriver.green.websocket import WebSocket
from wsdriver.green.wsgi import call_application, end_session

__all__ = ["WebSocketHandler"]

_registries: WeakKeyDictionary[WSGIServer, Registry] = WeakKeyDictionary()


def _registry_of(server: WSGIServer) -> Registry:
    """Return the server's connections. From its first on, the server's ``stop`` closes them with 1001."""
    registry = _registries.get(server)
    if registry is None:
        registry = _registries[server] = Registry()
        stop = server.stop

        def stop_all(timeout: float | None = None) -> None:
            server.close()
            registry.close(server.stop_timeout if timeout is None else timeout)
            stop(timeout)

        # A handler class is all that the server lets us give it, and it has no hook for its end.
        server.stop = stop_all
    return registry


class WebSocketHandler(WSGIHandler):  # type: ignore[misc]  # gevent has no types for it
    """Hands the connection over to a :class:`~wsdriver.WebSocket` or :class:`~wsdriver.EventSource`; other requests are
    served as ever.

    ::

        WSGIServer(("", 8000), app, handler_class=wsdriver.WebSocketHandler).serve_forever()
    """

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ.setdefault("REMOTE_ADDR", "")  # left out for a Unix socket; others say so
        wants_websocket = is_websocket(environ)
        if wants_websocket or is_eventsource(environ):
            environ[KEY] = Takeover(self.socket, partial(file_buffered, self.rfile, self.socket), self._claimed)
        if wants_websocket:
            environ["wsgi.websocket"] = WebSocket(environ)
        return environ

    def _claimed(self, connection: Any) -> None:
        _registry_of(self.server).add(connection)
        self.rfile.close()  # else the socket would stay open, whoever closes it, until the handler returns

    def run_application(self) -> None:
        takeover = self.environ.get(KEY)
        if takeover is None:
            super().run_application()
            return
        failure: BaseException | None = None
        try:
            self.result = call_application(self.application, self.environ, self.start_response, takeover)
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

    def _end(self, connection: Any, failure: BaseException | None) -> None:
        end_session(connection, failure)
        # For the access log, and so that nothing more is written.
        self.close_connection = True
        self.wsgi_input = Input(BytesIO(), 0)  # of which the server would read the rest
        self._orig_status = connection.http_status
        self.status = self._orig_status.encode()
        self.headers_sent = True
        self.response_length = connection.bytes_sent
