"""WebSockets and event streams under ``gevent.pywsgi``: pass ``handler_class=WebSocketHandler``."""

from __future__ import annotations

from functools import partial
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

from gevent.pywsgi import Input, WSGIHandler, WSGIServer

from wsdriver.driver.server import reason_of, refuse_request
from wsdriver.environ import is_eventsource, is_websocket
from wsdriver.exceptions import HandshakeError
from wsdriver.forwarded import client_host
from wsdriver.green.admission import Admission, check_limit
from wsdriver.green.legacy import let_go, make_legacy
from wsdriver.green.registry import Registry
from wsdriver.green.takeover import KEY, Takeover, file_buffered
from wsdriver.green.wsgi import call_application, end_session, heed_status

__all__ = ["WSGIServer", "WebSocketHandler", "connections_of"]

_registries: WeakKeyDictionary[WSGIServer, Registry] = WeakKeyDictionary()
_admissions: WeakKeyDictionary[WSGIServer, Admission] = WeakKeyDictionary()


def connections_of(server: WSGIServer) -> Registry:
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

    gevent's ``spawn=1000`` limits how many connections of all kinds the server takes before it pauses accepting. Other
    limits are set by a subclass, for each server::

        class Handler(wsdriver.WebSocketHandler):
            max_connections_per_ip = 20

    Attributes:
        max_connections: WebSockets at a time; others are answered with 503.
        max_connections_per_ip: ... of one address, which behind a trusted proxy (the variable FORWARDED_ALLOW_IPS) is
            its client's; of IPv6, of a network of 64 bits. Others are answered with 429.
    """

    max_connections: int | None = None
    max_connections_per_ip: int | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_limit("max_connections", cls.max_connections)
        check_limit("max_connections_per_ip", cls.max_connections_per_ip)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ.setdefault("REMOTE_ADDR", "")  # left out for a Unix socket; others say so
        wants_websocket = is_websocket(environ)
        if wants_websocket or is_eventsource(environ):
            environ[KEY] = Takeover(self.socket, partial(file_buffered, self.rfile, self.socket), self._claimed)
        if wants_websocket:
            make_legacy(environ, self.server)
        return environ

    def _claimed(self, connection: Any) -> None:
        connections_of(self.server).add(connection)
        self.rfile.close()  # else the socket would stay open, whoever closes it, until the handler returns

    def run_application(self) -> None:
        takeover = self.environ.get(KEY)
        if takeover is None:
            super().run_application()
            return
        if "wsgi.websocket" not in self.environ:
            self._run(takeover)
            return
        admission = _admissions.get(self.server)
        if admission is None:
            admission = _admissions[self.server] = Admission(self.max_connections, self.max_connections_per_ip)
        try:
            if admission.limited:
                admission.enter(takeover, client_host(self.environ))
        except HandshakeError as error:
            refusal = refuse_request(error)
            self.socket.sendall(refusal)
            self._answered(f"{error.status} {reason_of(error.status)}", len(refusal))
            return
        try:
            self._run(takeover)
        finally:
            admission.leave(takeover)

    def _run(self, takeover: Takeover) -> None:
        """Call the application; if it took the connection, see that through to its end."""
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
            try:
                if failure is None and self.status is not None:
                    heed_status(takeover.connection, self.status.decode("latin-1"))
                self._end(takeover.connection, failure)
            finally:
                let_go(self.environ)
            self._answered(takeover.connection.http_status, takeover.connection.bytes_sent)

    def _end(self, connection: Any, failure: BaseException | None) -> None:
        """See a connection that the application took to its end; ``failure`` is what the application raised."""
        end_session(connection, failure)

    def _answered(self, status: str, size: int) -> None:
        """Say what has been answered past the server: for the access log, and so that nothing more is written."""
        self.close_connection = True
        self.wsgi_input = Input(BytesIO(), 0)  # of which the server would read the rest
        self._orig_status = status
        self.status = status.encode()
        self.headers_sent = True
        self.response_length = size
