"""A WebSocket server without WSGI: a ``gevent.server.StreamServer`` whose handlers get a WebSocket."""

from __future__ import annotations

import _socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent import getcurrent

from wsdriver.driver.driver import Driver
from wsdriver.environ import Environ
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.forwarded import TRUSTED_PROXIES, check_trusted
from wsdriver.green.accepting import PatientServer
from wsdriver.green.admission import Admission, check_limit
from wsdriver.green.deadlines import Deadlines
from wsdriver.green.flashpolicy import answer_policy
from wsdriver.green.healthcheck import check_path, is_healthcheck
from wsdriver.green.options import ConnectionOptions
from wsdriver.green.proxied import Client, by_headers, by_proxy_protocol
from wsdriver.green.registry import Registry
from wsdriver.green.routes import Routes
from wsdriver.green.stats import Ledger, ServerStats
from wsdriver.green.waiting import do_handshake
from wsdriver.green.websocket import WebSocket
from wsdriver.green.wsgi import end_session
from wsdriver.http import Request
from wsdriver.log import log
from wsdriver.options import check_bool, make_options

if TYPE_CHECKING:
    from wsdriver.green.monitor.view import View

__all__ = ["ServerOptions", "WebSocketServer"]


@dataclass(frozen=True)
class ServerOptions(ConnectionOptions):
    """The options of a server; ``max_length`` is em-websocket's.

    Attributes:
        healthcheck: the path, such as ``'/healthcheck'``, on which GET and HEAD are answered with 200; None for none.
        max_connections: WebSockets at a time; others are answered with 503, health checks as ever. A WebSocket counts
            until its handler is done.
        max_connections_per_ip: ... of one address; others are answered with 429. Behind a trusted proxy, that is the
            address of its client. Of IPv6, a network of 64 bits is one address.
        trusted_proxies: addresses and networks, such as ``['10.0.0.0/8']``, of the proxies that are believed when they
            say who their client is, and whether it speaks TLS; ``'*'`` for everybody. Unless given, those of the
            variable FORWARDED_ALLOW_IPS, else the loopback addresses.
        proxy_protocol: whether trusted proxies begin each connection with HAProxy's PROXY protocol, version 1 or 2,
            before TLS. One that does not is cut.
        flash_policy: whether a connection that asks for Flash's policy file, as web-socket-js does, is told that
            everybody may connect. It is no connection.
        monitor: the path, such as ``'/_wsdriver'``, at which this server shows what it does, to this machine only; or a
            dict with ``path``, and ``token`` or ``allow``: see ``wsdriver.monitor``, which does the same for a WSGI
            application. Requests for it are no connections.
        secure_proxy: whether a proxy that says nothing of it ends TLS for all clients: then URLs are ``wss:``.
    """

    max_length: int = 10 * 1024 * 1024
    healthcheck: str | None = None
    max_connections: int | None = None
    max_connections_per_ip: int | None = None
    trusted_proxies: Any = None
    proxy_protocol: bool = False
    secure_proxy: bool = False
    flash_policy: bool = False
    monitor: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path(self.healthcheck)
        for name in ("max_connections", "max_connections_per_ip"):
            check_limit(name, getattr(self, name))
        if self.trusted_proxies is not None:
            object.__setattr__(self, "trusted_proxies", check_trusted(self.trusted_proxies))
        for name in ("proxy_protocol", "secure_proxy", "flash_policy"):
            check_bool(name, getattr(self, name))
        if self.monitor is not None:
            from wsdriver.green.monitor.view import check_monitor

            object.__setattr__(self, "monitor", check_monitor(self.monitor))


class StreamWebSocket(WebSocket):
    """A WebSocket whose request was read by our own driver."""

    __slots__ = ("_deadline", "_on_request", "_peer", "_server_address")

    def __init__(self, options: ServerOptions, client: Client, server_address: Any) -> None:
        super(WebSocket, self).__init__(options, False)
        self._handshake = None
        self._deadline: float | None = None  # of the opening phase, once there is a request
        self._on_request: Callable[[StreamWebSocket], object] | None = None
        self._peer = client
        self._server_address = server_address

    @property
    def environ(self) -> Environ:
        driver = self._driver
        environ = None if driver is None else driver.environ
        return {} if environ is None else environ

    @property
    def request(self) -> Request:
        """The request's head: to look at it costs less memory than ``environ``, which stays."""
        return self._driver._parsed_request()

    @property
    def remote_address(self) -> Any:
        return self._peer.address

    @property
    def base_environ(self) -> dict[str, Any]:
        """What the driver's environ cannot know by itself."""
        address, secure = self._peer
        own = self._server_address
        name, port = own[:2] if isinstance(own, tuple) else ("localhost", 0)
        base = {
            "SERVER_NAME": name,
            "SERVER_PORT": str(port),
            "wsgi.url_scheme": "https" if secure else "http",
        }
        host = self._peer.host
        if host is not None:
            base["REMOTE_ADDR"] = host
            base["REMOTE_PORT"] = str(address[1]) if isinstance(address, tuple) else ""
        if self.options.trusted_proxies is not None:
            base[TRUSTED_PROXIES] = self.options.trusted_proxies
        return base

    def read_request(self, sock: Any, tls: bool, early: bytes, deadline: float | None) -> bool:
        """Read the request's head; False where the peer went away, or sent what is no request.

        Args:
            sock: the peer's.
            tls: whether the socket does TLS.
            early: bytes that came off the socket already.
            deadline: of the opening phase, by the monotonic clock.
        """
        self._deadline = deadline
        self._attach(sock, Driver(self, self.options, None, True), tls, early)
        if self._sock is not None:
            self._read()  # most clients have sent it by now
        if not self._wait_opening(deadline, connected=True):
            self.request_timed_out()
        return self._driver.ready_state == 0

    def await_request(self, sock: Any, on_request: Callable[[StreamWebSocket], object]) -> None:
        """Begin to read the request's head; where it comes, ``on_request(self)`` is called in the hub."""
        self._on_request = on_request
        self._attach(sock, Driver(self, self.options, None, True), False, b"")

    def _requested(self) -> None:
        on_request, self._on_request = self._on_request, None
        if on_request is not None:
            on_request(self)

    def request_timed_out(self) -> None:
        """Give up waiting for the request, unless it is there: our own loop may have been late."""
        if self._sock is not None and not self._driver.connected:
            self._read()
        if self._driver.connected:
            return
        self._driver.refuse(
            HandshakeError(f"no request came within {self.options.open_timeout} seconds (open_timeout)", 408)
        )

    def check_request(self) -> bool:
        """Judge the request that has been read; False where it is wrong, and has been refused."""
        driver = self._driver
        try:
            driver.judge()
        except HandshakeError as error:
            driver.refuse(error)
        return driver.ready_state == 0  # the check may have called the application, and taken its time

    def find_peer(self) -> None:
        """See whether the request says that a proxy speaks for the client."""
        if self._driver.may_be_forwarded():
            self._peer = by_headers(self._peer, self.request.headers, self.options.trusted_proxies)

    def _accept(self) -> bool:
        driver = self._driver
        if driver is not None and driver.ready_state == 0:
            accepted = self._start(driver)
            self._deadline = None
            return accepted
        return driver is not None and driver.ready_state == 1

    def _opening_deadline(self) -> float | None:
        return self._deadline


class WebSocketServer(PatientServer):
    """Serves WebSockets: ``handler(ws)`` runs in a greenlet of its own for each connection.

    ::

        def handler(ws):
            for message in ws:
                ws.send(message)

        wsdriver.WebSocketServer(("0.0.0.0", 8080), handler).serve_forever()

    When the handler returns, the connection is closed with 1000; when it raises, that is logged, and 1011. A handler
    may instead register listeners (``ws.on``) and return.

    Instead of one handler, a table of them by path may be given; the first pattern that matches is taken, and other
    paths are answered with 404::

        def chat(ws, room): ...
        def files(ws, name): ...

        WebSocketServer(address, {"/chat/{room}": chat, "/files/{name:path}": files})

    Args:
        listener: an address or a listening socket, as for gevent's servers.
        handler: called with a :class:`~wsdriver.WebSocket`, whose handshake goes out at its first use; or such a table.
            What the path has in the place of a ``{name}`` is given by keyword, unquoted.
        backlog, spawn: as for gevent's servers.
        keyfile, certfile, ssl_context: for TLS, as for gevent's servers; so are the other arguments of ``wrap_socket``.
        **options: see :class:`~wsdriver.green.server.ServerOptions`.

    Attributes:
        connections: the WebSockets that are alive: to count and to iterate.

    Raises:
        ConfigurationError: an option has a wrong name or value.
    """

    #: Seconds that :meth:`stop` gives the closing handshakes.
    stop_timeout = 10

    _TLS_ARGUMENTS = frozenset(
        [
            "keyfile",
            "certfile",
            "cert_reqs",
            "ssl_version",
            "ca_certs",
            "suppress_ragged_eofs",
            "do_handshake_on_connect",
            "ciphers",
            "ssl_context",
            "server_side",
        ]
    )

    def __init__(
        self,
        listener: Any,
        handler: Callable[[WebSocket], object] | Mapping[str, Callable[..., object]],
        *,
        backlog: int | None = None,
        spawn: Any = "default",
        **options: Any,
    ) -> None:
        self._routes = Routes(handler) if isinstance(handler, Mapping) else None
        if self._routes is None and not callable(handler):
            raise ConfigurationError(
                f"the handler must be callable with a WebSocket, or a table of such by path, not {handler!r}"
            )
        tls = {name: options.pop(name) for name in list(options) if name in self._TLS_ARGUMENTS}
        self.options = make_options(ServerOptions, options)
        self.handler: Any = handler
        self.connections = Registry()
        self._ledger = Ledger()
        self._unasked = Deadlines(self.options.open_timeout, StreamWebSocket.request_timed_out)
        self._direct = False
        self._handlers: set[Any] | None = None  # the greenlets in which they run, for who waits for them
        self._admission = Admission(self.options.max_connections, self.options.max_connections_per_ip)
        self._view: View | None = None
        if self.options.monitor is not None:
            from wsdriver.green.monitor.view import View

            self._view = View(self._ledger, **self.options.monitor)
        if tls:
            tls["ssl_context"] = _server_context(tls)
            # The handshake is ours to time, in the connection's greenlet.
            tls["do_handshake_on_connect"] = False
        super().__init__(listener, backlog=backlog, spawn=spawn, **tls)

    # --- without a proxy's head or TLS: nothing but the request stands between a connection and its handler -----------

    def init_socket(self) -> None:
        super().init_socket()
        options = self.options
        # (Who limits the number of greenlets wants connections counted that have not asked for anything yet.)
        endless = self.pool is None or getattr(self.pool, "size", 0) is None
        plain = not (self.ssl_enabled or options.proxy_protocol or options.flash_policy)
        own = type(self).handle is WebSocketServer.handle and "handle" not in vars(self)
        self._direct = plain and own and endless and self._spawn is not None

    def _take(self) -> Any:
        if not self._direct:
            return super()._take()
        listener = self.socket
        try:
            fd, address = listener._accept()
        except BlockingIOError:
            if not listener.timeout:
                return None
            raise
        # No socket of gevent's, with its own watchers: nobody waits in one of its methods.
        return _socket.socket(listener.family, listener.type, listener.proto, fd), address

    def do_handle(self, *args: Any) -> None:
        """Take a connection. Its greenlet begins when its request is there: until then there is nothing to run."""
        if not self._direct:
            super().do_handle(*args)
            return
        sock, address = args
        ws = StreamWebSocket(self.options, Client(address, self.options.secure_proxy), self.address)
        try:
            self.connections.add(ws)
            self._unasked.add(ws)
            ws._at_release(self._unasked.discard)
            ws.await_request(sock, self._requested)
        except BaseException:
            self.connections.discard(ws)
            self._unasked.discard(ws)
            sock.close()
            raise

    def _requested(self, ws: StreamWebSocket) -> None:
        ws._deadline = self._unasked.discard(ws)
        self._spawn(self._respond, ws)

    # --- others -----------------------------------------------------------------------------------------------------

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        """Serve one connection with TLS."""
        deadline = self._opening_deadline()
        client = self._identify(client_socket, address, deadline)
        if client is None:
            return
        sock = None
        try:
            sock = self.wrap_socket(client_socket, **self.ssl_args)
            timeout = None if deadline is None else max(0.0, deadline - monotonic())
            with gevent.Timeout(timeout, TimeoutError("the TLS handshake took too long")):
                do_handshake(sock)
        except (OSError, ValueError) as error:
            log.debug("no TLS with %s: %s", address, error)
            if sock is not None:
                sock.close()
            return
        self._serve(sock, client._replace(secure=True), deadline)

    def handle(self, sock: Any, address: Any) -> None:
        """Serve one connection without TLS."""
        deadline = self._opening_deadline()
        client = self._identify(sock, address, deadline)
        if client is not None:
            self._serve(sock, client, deadline)

    def _opening_deadline(self) -> float | None:
        """Return the time until which a connection that comes now has to have sent its request."""
        timeout = self.options.open_timeout
        return None if timeout is None else monotonic() + timeout

    def _identify(self, sock: Any, address: Any, deadline: float | None) -> Client | None:
        """Return whose connection this is; None where a proxy ought to say, and does not."""
        client = Client(address, self.options.secure_proxy)
        if self.options.proxy_protocol:
            return by_proxy_protocol(sock, client, self.options.trusted_proxies, deadline)
        return client

    def _serve(self, sock: Any, client: Client, deadline: float | None) -> None:
        """Serve one connection; returns when its socket is closed."""
        early = answer_policy(sock, deadline) if self.options.flash_policy else b""
        if early is None:
            sock.close()
            return
        ws = StreamWebSocket(self.options, client, self.address)
        self.connections.add(ws)
        try:
            asked = ws.read_request(sock, self.ssl_enabled, early, deadline)
        except BaseException as error:
            end_session(ws, error)
        else:
            self._respond(ws, asked)

    def _respond(self, ws: StreamWebSocket, asked: bool = True) -> None:
        """Answer a request, if there is one; returns when the connection is closed."""
        failure: BaseException | None = None
        if self._handlers is not None:
            self._handlers.add(getcurrent())
        try:
            if asked:
                self._answer(ws)
        except BaseException as error:
            failure = error
        try:
            end_session(ws, failure)
        finally:
            if self._handlers is not None:
                self._handlers.discard(getcurrent())
            self._admission.leave(ws)
            self._ledger.end(ws)

    def _answer(self, ws: StreamWebSocket) -> None:
        """Answer a request that has been read: by its handler, if it is right and there is room."""
        ws.find_peer()
        if self.connections.closing:
            ws._driver.refuse(HandshakeError("the server is stopping", 503))
        elif self.options.healthcheck is not None and is_healthcheck(ws.request, self.options.healthcheck):
            self.connections.discard(ws)
            ws._driver.refuse(HandshakeError("OK", 200))
        elif self._view is not None and (part := self._view.part_of(ws.request.target)) is not None:
            self.connections.discard(ws)
            ws._driver.refuse(self._view.answer(ws.environ, part))
        elif ws.check_request():
            try:
                handler, arguments = self._find_handler(ws)
                if self._admission.limited:
                    self._admission.enter(ws, ws._peer.host)
            except HandshakeError as error:
                ws._driver.refuse(error)
            else:
                self._ledger.begin(ws)
                if arguments:
                    handler(ws, **arguments)
                else:
                    handler(ws)  # without a dict, which costs each idle connection a piece of the C stack

    def _find_handler(self, ws: StreamWebSocket) -> tuple[Callable[..., object], dict[str, str]]:
        """Return the handler of a request and its keyword arguments.

        Raises:
            HandshakeError: there is none.
        """
        if self._routes is None:
            return self.handler, {}
        found = self._routes.find(ws._driver.asked_target())
        if found is None:
            raise HandshakeError("there is nothing at this address", 404)
        return found

    def stats(self) -> ServerStats:
        """Return figures since the server was made: connections, messages, bytes, and closes by code.

        Returns:
            a :class:`~wsdriver.green.stats.ServerStats`; its numbers are counts since then, but for ``open``.
        """
        return self._ledger.stats()

    def start(self) -> None:
        self.connections.closing = False
        super().start()

    def stop(self, timeout: float | None = None) -> None:
        """Stop accepting, close every WebSocket with 1001, and return when the last is gone, or is cut at the timeout.

        Args:
            timeout: seconds; :attr:`stop_timeout` unless given.
        """
        self.close()
        deadline = monotonic() + (self.stop_timeout if timeout is None else timeout)
        self.connections.close(deadline - monotonic())
        super().stop(max(0.0, deadline - monotonic()))


def _server_context(tls: dict[str, Any]) -> Any:
    """Return the SSLContext that gevent's arguments describe."""
    context = tls.pop("ssl_context", None)
    if context is not None:
        return context
    context = ssl.SSLContext(tls.pop("ssl_version", ssl.PROTOCOL_TLS_SERVER))
    certfile = tls.pop("certfile", None)
    if certfile is None:
        raise ConfigurationError("TLS needs certfile= (and keyfile=), or ssl_context=")
    try:
        context.load_cert_chain(certfile, tls.pop("keyfile", None))
        if tls.get("ca_certs"):
            context.load_verify_locations(tls.pop("ca_certs"))
        if tls.get("cert_reqs") is not None:
            context.verify_mode = tls.pop("cert_reqs")
        if tls.get("ciphers"):
            context.set_ciphers(tls.pop("ciphers"))
    except OSError as error:
        raise ConfigurationError(f"the certificate {certfile!r} cannot be used: {error}") from error
    return context
