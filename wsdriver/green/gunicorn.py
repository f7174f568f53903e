"""The gunicorn worker class: ``gunicorn -k wsdriver.worker app:app``.

It is gunicorn's own gevent worker with one thing more: the connection of a request for a WebSocket or an event stream
may be taken over.
gunicorn imports this before it forks and before gevent patches; nothing here may pull threads in.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any

import gevent
from gevent.server import StreamServer

try:
    from gunicorn.workers import ggevent
    from gunicorn.workers.ggevent import GeventResponse, GeventWorker
except (ImportError, RuntimeError) as error:
    raise ImportError(
        f"the gunicorn worker lacks a package ({error}); install all it needs with: pip install 'wsdriver[gunicorn]'"
    ) from error

from wsdriver.driver.server import refuse_request
from wsdriver.environ import is_eventsource, is_websocket
from wsdriver.exceptions import HandshakeError
from wsdriver.forwarded import TRUSTED_PROXIES
from wsdriver.green.accepting import PatientServer
from wsdriver.green.registry import Registry
from wsdriver.green.takeover import KEY, Takeover, gunicorn_buffered
from wsdriver.green.websocket import WebSocket
from wsdriver.green.wsgi import call_application, end_session

__all__ = ["WebSocketWorker"]


class _Server(PatientServer):
    """The server that gunicorn's worker runs, but for three things: it is known to the worker, so that it can
    stop accepting at once; a peer that goes away in the TLS handshake is no error; and it waits while it cannot accept.
    """

    worker: WebSocketWorker

    def start(self) -> None:
        super().start()
        self.worker.servers.append(self)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        try:
            sock = self.wrap_socket(client_socket, **self.ssl_args)
        except OSError as error:
            self.worker.log.debug("no TLS with %s: %s", address, error)
            return None
        try:
            return self.handle(sock, address)
        finally:
            sock.close()


class WebSocketWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker, with WebSockets.

    A WebSocket request finds a ready :class:`~wsdriver.WebSocket` in ``environ['wsgi.websocket']``; its handshake goes
    out at its first use, so that the application may still answer 401. It is logged in the access log once, at its
    end. On SIGTERM, SIGHUP and ``max_requests`` all WebSockets are closed with 1001, and the worker leaves as soon as
    they are gone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections = Registry()
        self.servers: list[StreamServer] = []

    def run(self) -> None:
        # gunicorn makes its servers of this name; each process has one worker.
        ggevent.StreamServer = type("Server", (_Server,), {"worker": self, "log": self.log})
        super().run()

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self._application: Any = self.wsgi
        self.wsgi: Any = self._serve

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Any:
        """The WSGI application that gunicorn sees."""
        wants_websocket = is_websocket(environ)
        if not wants_websocket and not is_eventsource(environ):
            return self._application(environ, start_response)
        request = start_response.__self__.req  # a method of gunicorn's Response
        started = monotonic()
        # (A browser's EventSource would take a refusal for final; it is let in, told the end, and comes back.)
        if wants_websocket and self.connections.closing:
            refusal = refuse_request(HandshakeError("the server is restarting", 503, {"Retry-After": "1"}))
            environ["gunicorn.socket"].sendall(refusal)
            self._log("503 Service Unavailable", len(refusal), request, environ, started)
            raise StopIteration
        buffered = partial(gunicorn_buffered, request.unreader)
        takeover = Takeover(environ["gunicorn.socket"], buffered, self.connections.add)
        environ[KEY] = takeover
        environ[TRUSTED_PROXIES] = self.cfg.forwarded_allow_ips
        if wants_websocket:
            environ["wsgi.websocket"] = WebSocket(environ)
        failure: BaseException | None = None
        result: Any = None
        try:
            result = call_application(self._application, environ, start_response, takeover)
        except BaseException as error:
            if takeover.connection is None:
                raise
            failure = error
        connection = takeover.connection
        if connection is None:
            return result
        try:
            end_session(connection, failure, self.log)
        finally:
            self._log(connection.http_status, connection.bytes_sent, request, environ, started)
        raise StopIteration  # how gunicorn's workers say that the connection has ended

    def _log(self, status: str, sent: int, request: Any, environ: dict[str, Any], started: float) -> None:
        self.log.access(GeventResponse(status, [], sent), request, environ, timedelta(seconds=monotonic() - started))

    # --- the end ----------------------------------------------------------------------------------------------------

    def notify(self) -> None:
        super().notify()
        if not self.alive:
            self._leave()

    def _leave(self) -> None:
        """Accept no more, and tell all WebSockets to go away. (gunicorn's own loop looks only once a second.)"""
        if not self.connections.closing:
            for server in self.servers:
                server.close()
            self.connections.start_closing()

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        gevent.spawn(self._leave)

    def handle_quit(self, sig: int, frame: Any) -> None:
        gevent.spawn(self._leave)
        super().handle_quit(sig, frame)
