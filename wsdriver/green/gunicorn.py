"""The gunicorn worker class: ``gunicorn -k wsdriver.worker app:app``.

It is gunicorn's own gevent worker with one thing more: the connection of a request for a WebSocket or an event stream
may be taken over.
gunicorn imports this before it forks and before gevent patches; nothing here may pull threads in.
"""

from __future__ import annotations

import faulthandler
import os
import signal
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

from wsdriver.driver.server import reason_of, refuse_request
from wsdriver.environ import is_eventsource, is_websocket
from wsdriver.exceptions import HandshakeError
from wsdriver.forwarded import TRUSTED_PROXIES, client_host
from wsdriver.green.accepting import PatientServer
from wsdriver.green.admission import Admission, check_limit
from wsdriver.green.legacy import LegacyServer, accept_unused, let_go, make_legacy
from wsdriver.green.openssl import clear_errors
from wsdriver.green.registry import Registry
from wsdriver.green.takeover import KEY, Takeover, gunicorn_buffered
from wsdriver.green.wsgi import call_application, end_session, heed_status
from wsdriver.options import check_seconds

__all__ = ["WebSocketWorker"]

#: Seconds that clients have for their side of the closing handshake at SIGINT and SIGQUIT.
QUICK = 1.0

#: Seconds between two times that the log tells that a worker has all its connections.
FULL_AGAIN = 60

#: Seconds for which nothing else may run before the log tells of it, at most; half of gunicorn's timeout is enough too.
BLOCKED = 5.0


class _Server(PatientServer):
    """The server that gunicorn's worker runs, but for four things: it is known to the worker, so that it can stop
    accepting at once; a peer that goes away in the TLS handshake is no error; it waits while it cannot accept; and it
    tells when it takes no more.
    """

    worker: WebSocketWorker
    _told_full: float = -FULL_AGAIN

    def start(self) -> None:
        self._handle_wrapped = self.handle  # which close() takes away
        super().start()
        self.worker.servers.append(self)

    def stop_accepting(self) -> None:
        super().stop_accepting()
        if self.started and self.full() and monotonic() - self._told_full >= FULL_AGAIN:
            self._told_full = monotonic()
            most = self.worker.worker_connections
            self.worker.log.warning("this worker has all its %d connections (worker_connections); others wait", most)

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        try:
            # With its handshake, for which gunicorn waits however long it takes.
            with gevent.Timeout(self.worker.open_timeout, TimeoutError("the TLS handshake took too long")):
                sock = self.wrap_socket(client_socket, **self.ssl_args)
        except OSError as error:
            clear_errors()
            self.worker.log.debug("no TLS with %s: %s", address, error)
            client_socket.close()
            return None
        try:
            return self._handle_wrapped(sock, address)
        finally:
            sock.close()


class _Listener:
    """What a connection wants to know of the socket that it came from, which may have been closed since."""

    def __init__(self, listener: Any) -> None:
        self._name = listener.getsockname()

    def getsockname(self) -> Any:
        return self._name


def _keep_settings(cfg: Any) -> None:
    """Keep the values of gunicorn's settings as plain attributes of its Config.

    It reads some thirty of them for a request, each by a ``__getattr__``, which was a fifth of a connection's cost.
    """
    attributes = vars(cfg)
    attributes.update((name, setting.get()) for name, setting in cfg.settings.items())

    def set_both(name: str, value: Any) -> None:
        type(cfg).set(cfg, name, value)
        attributes[name] = cfg.settings[name].get()

    attributes["set"] = set_both


class WebSocketWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker, with WebSockets.

    A WebSocket request finds a WebSocket in ``environ['wsgi.websocket']``, which has the methods of gevent-websocket's;
    its handshake goes out at its first use, so that the application may still answer 401. It is logged in the access
    log once, at its end. On SIGTERM, SIGHUP and ``max_requests`` (a WebSocket counts as one) all WebSockets are closed
    with 1001, and the worker leaves as soon as they are gone. Nobody is refused meanwhile: who had connected already,
    and asks for a WebSocket only then, gets one that is closed with 1001 as well.

    The error log shows where a worker was blocked when gunicorn kills it for its ``timeout``; and where it was when it
    crashed in a C extension.

    gunicorn's ``worker_connections`` limits how many connections of all kinds a worker takes before it pauses
    accepting. What gunicorn has no setting for, a subclass sets, for each worker: ``gunicorn -k mymodule.Worker``. ::

        class Worker(wsdriver.worker):
            max_connections_per_ip = 20

    Attributes:
        max_connections: WebSockets at a time, of one worker; others are answered with 503.
        max_connections_per_ip: ... of one address, which behind a proxy of ``forwarded_allow_ips`` is its client's; of
            IPv6, of a network of 64 bits. Others are answered with 429.
        open_timeout: seconds that a TLS handshake may take; None for any time. (For a request's head, gunicorn's
            ``keepalive`` is that.)
    """

    max_connections: int | None = None
    max_connections_per_ip: int | None = None
    open_timeout: float | None = 10

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_limit("max_connections", cls.max_connections)
        check_limit("max_connections_per_ip", cls.max_connections_per_ip)
        check_seconds("open_timeout", cls.open_timeout)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._admission = Admission(self.max_connections, self.max_connections_per_ip)
        self.connections = Registry()
        self.servers: list[StreamServer] = []
        self._listeners: dict[Any, _Listener] = {}
        self._noticed: float | None = None
        self._abort_log: int | None = None

    def init_process(self) -> None:
        # Patching takes a tenth of a second, and comes before gunicorn sets its handlers. Until then a signal to end
        # would come to that of the master, which this process has inherited, and be lost.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, super().handle_exit)
        super().init_process()

    def init_signals(self) -> None:
        faulthandler.disable()  # what was set up for the master, whose handlers these replace
        super().init_signals()
        self._watch_for_abort()

    def _watch_for_abort(self) -> None:
        """Have the C code of Python write the stack into the error log at a SIGABRT, by which gunicorn kills who is
        blocked: a handler in Python would have to wait until the call that blocks returns. Then comes gunicorn's own.
        """
        handlers = getattr(getattr(self.log, "error_log", None), "handlers", ())
        files = [handler.stream for handler in handlers if hasattr(handler, "baseFilename") and handler.stream]
        # A copy, since logs are closed and opened anew.
        copy = os.dup(files[0].fileno() if files else 2)
        # (Of this thread alone: others would run on while their stacks are read.)
        faulthandler.enable(copy, all_threads=False)
        if self._abort_log is not None:
            os.close(self._abort_log)
        self._abort_log = copy

    def handle_usr1(self, sig: int, frame: Any) -> None:
        super().handle_usr1(sig, frame)  # opens the logs anew, in a greenlet
        gevent.spawn(self._watch_for_abort)

    def run(self) -> None:
        # gunicorn makes its servers of this name; each process has one worker.
        ggevent.StreamServer = type("Server", (_Server,), {"worker": self, "log": self.log})
        self._listeners = {listener: _Listener(listener) for listener in self.sockets}
        _keep_settings(self.cfg)
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        super().handle(self._listeners[listener], client, addr)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self._application: Any = self.wsgi
        self._legacy = LegacyServer(self._application, self.log)
        self.wsgi: Any = self._serve

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Any:
        """The WSGI application that gunicorn sees."""
        wants_websocket = is_websocket(environ)
        if not wants_websocket and not is_eventsource(environ):
            return self._application(environ, start_response)
        request = start_response.__self__.req  # a method of gunicorn's Response
        started = monotonic()
        environ[TRUSTED_PROXIES] = self.cfg.forwarded_allow_ips
        buffered = partial(gunicorn_buffered, request.unreader)
        takeover = Takeover(environ["gunicorn.socket"], buffered, self.connections.add)
        environ[KEY] = takeover
        if wants_websocket:
            try:
                if self._admission.limited:
                    self._admission.enter(takeover, client_host(environ))
            except HandshakeError as error:
                refusal = refuse_request(error)
                environ["gunicorn.socket"].sendall(refusal)
                self._log(f"{error.status} {reason_of(error.status)}", len(refusal), request, environ, started)
                raise StopIteration from None
            make_legacy(environ, self._legacy)
        try:
            return self._call(takeover, environ, start_response, request, started)
        finally:
            self._admission.leave(takeover)

    def _call(
        self, takeover: Takeover, environ: dict[str, Any], start_response: Any, request: Any, started: float
    ) -> Any:
        """Call the application; if it took the connection, see that through to its end."""
        failure: BaseException | None = None
        result: Any = None
        try:
            result = call_application(self._application, environ, start_response, takeover)
        except BaseException as error:
            if takeover.connection is None:
                raise
            failure = error
        if takeover.connection is None and start_response.__self__.status is None:
            # (Who takes gunicorn's socket by himself ends with StopIteration.)
            accept_unused(environ)
        connection = takeover.connection
        if connection is None:
            return result
        try:
            if failure is None:
                heed_status(connection, start_response.__self__.status)
            end_session(connection, failure, self.log)
        finally:
            let_go(environ)
            self._log(connection.http_status, connection.bytes_sent, request, environ, started)
        raise StopIteration  # how gunicorn's workers say that the connection has ended

    def _log(self, status: str, sent: int, request: Any, environ: dict[str, Any], started: float) -> None:
        self.log.access(GeventResponse(status, [], sent), request, environ, timedelta(seconds=monotonic() - started))

    # --- the end ----------------------------------------------------------------------------------------------------

    def notify(self) -> None:
        super().notify()
        self._notice()
        if not self.alive:
            self._leave()

    def _leave(self) -> None:
        """Accept no more, and tell all WebSockets to go away. (gunicorn's own loop looks only once a second.)"""
        if not self.connections.closing:
            for server in self.servers:
                server.close()
            self.connections.start_closing()

    def _notice(self) -> None:
        """Tell when it is long ago that gunicorn's loop came here, which it does once a second."""
        now = monotonic()
        if self._noticed is not None:
            blocked = now - self._noticed - 1.0
            if blocked >= min(BLOCKED, self.timeout or BLOCKED):  # self.timeout is half of that setting
                self.log.warning(
                    "for %.1f seconds nothing else could run: a handler blocks this worker "
                    "(GEVENT_MONITOR_THREAD_ENABLE=1 shows where)",
                    blocked,
                )
        self._noticed = now

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        gevent.spawn(self._leave)

    def handle_quit(self, sig: int, frame: Any) -> None:
        gevent.spawn(self._quit, sig, frame)

    def _quit(self, sig: int, frame: Any) -> None:
        """Leave soon: who does not answer within a second is cut, so that the handlers still see the end."""
        self._leave()
        self.connections.close(QUICK)
        super().handle_quit(sig, frame)
