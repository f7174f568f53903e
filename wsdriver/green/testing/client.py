"""The test client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from time import monotonic
from typing import Any

import gevent

from wsdriver.driver.client import parse_url
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.green.client.opening import Opening
from wsdriver.green.client.options import ClientOptions
from wsdriver.green.client.stages import Deadline, closing_on_error
from wsdriver.green.testing.events import TestedEventSource
from wsdriver.green.testing.exchange import Exchange
from wsdriver.green.testing.hosts import ApplicationHost, HandlerHost
from wsdriver.green.testing.websocket import TestedWebSocket
from wsdriver.http import check_header, serialize_head
from wsdriver.options import check_bool, check_seconds, make_options

__all__ = ["Client"]

#: Seconds between looks at a condition.
PAUSE = 0.005


class Client:
    """Opens WebSockets and event streams to an application, or to a handler, in memory.

    ::

        client = Client(app)
        with client.websocket("/chat", protocols=["chat"]) as ws:
            ws.send("hello")
            assert ws.receive() == "hello"

    The application runs when the test waits: in ``receive``, ``close``, ``wait_until`` or ``gevent.sleep``. It needs no
    monkey-patching, and minds none.

    Args:
        app: a WSGI application.
        handler: in its place, what :class:`~wsdriver.WebSocketServer` takes: ``handler(ws)``, or a table by path.
        timeout: seconds that anything may take: the handshake, a message in ``receive``, the application's end after
            ``close``. None for any time.
        host: what the application is called by, in the Host header. (Django lets it in while it runs tests.)
        headers: of every request, such as a login's Cookie.
        environ: more for the environ of every request, such as ``{"REMOTE_ADDR": "192.0.2.1"}``; with ``app`` only.
        raise_errors: whether what the application raises is raised in the test. Without, the client sees what others
            would: a status of 500, or close code 1011.
        **options: with ``handler``: those of WebSocketServer.

    Raises:
        ConfigurationError: an argument is wrong.
    """

    def __init__(
        self,
        app: Any = None,
        *,
        handler: Callable[..., object] | Mapping[str, Callable[..., object]] | None = None,
        timeout: float | None = 5,
        host: str = "testserver",
        headers: Mapping[str, str] | None = None,
        environ: Mapping[str, Any] | None = None,
        raise_errors: bool = True,
        **options: Any,
    ) -> None:
        check_seconds("timeout", timeout)
        check_bool("raise_errors", raise_errors)
        parse_url(f"ws://{host}/")
        if (app is None) == (handler is None):
            raise ConfigurationError("give either app, a WSGI application, or handler, as of WebSocketServer")
        if app is not None:
            if not callable(app):
                raise ConfigurationError(f"app must be a WSGI application, which can be called, not {app!r}")
            if options:
                raise ConfigurationError(f"{', '.join(options)}: such options go with handler, not with app")
            serve = ApplicationHost(app, host, environ or {}).handle
        else:
            if environ:
                raise ConfigurationError("environ goes with app: a handler's is made by the server")
            serve = HandlerHost(("127.0.0.1", 80), handler, **options).handle  # type: ignore[arg-type]  # not None
        self.timeout = timeout
        self._serve = serve
        self._host = host
        self._headers = dict(headers or {})
        self._raises = raise_errors
        self._ports = count(50001)  # told apart in the log of an application
        self._opened: list[TestedWebSocket | TestedEventSource] = []

    def websocket(
        self,
        path: str = "/",
        protocols: Any = (),
        *,
        headers: Any = None,
        origin: str | None = None,
        **options: Any,
    ) -> TestedWebSocket:
        """Open a WebSocket; as a context manager, it is closed at the end, and the application is done.

        Args:
            path: with a query, if there is one.
            protocols: the subprotocols to offer.
            headers: more of the request.
            origin: the Origin header, as a browser's page would send it.
            **options: see :class:`~wsdriver.green.options.ConnectionOptions`.

        Raises:
            HandshakeError: the application refused; ``.status``, ``.headers`` and ``.body`` say how.
            TimeoutError: it did not answer.
            Exception: what the application raises before its answer.
        """
        __tracebackhide__ = True
        url = self._url(path)
        exchange = Exchange(partial(self._serve, address=self._address()))
        try:
            chosen = make_options(
                ClientOptions,
                {
                    "open_timeout": self.timeout,
                    "close_timeout": self.timeout,
                    "send_timeout": self.timeout,
                    **options,
                    "protocols": protocols,
                    "headers": self._fields(headers, origin),
                    "sock": exchange.sock,
                },
            )
            opening = Opening(url, chosen, Deadline(chosen.open_timeout))
        except BaseException:
            exchange.drop()
            raise
        exchange.start()
        try:
            with closing_on_error(opening):
                opening.ask()
                if opening.refusal is not None:
                    opening.read_body()
                    raise opening.refusal
                ws = TestedWebSocket(url, chosen, exchange, self.timeout, self._raises)
                ws.take(opening)
        except TimeoutError as error:
            error.args = (f"{error}; {exchange.where()}",)
            exchange.kill(timeout=1)
            raise
        except HandshakeError as error:
            refusal = error
        else:
            self._opened.append(ws)
            return ws
        exchange.hung_up = True
        exchange.finish(self.timeout)
        if self._raises:
            exchange.raise_error()
        raise refusal

    def eventsource(
        self, path: str = "/", *, headers: Any = None, origin: str | None = None, last_event_id: str | None = None
    ) -> TestedEventSource:
        """Open an event stream; as a context manager, it is closed at the end, and the application is done.

        Args:
            path: with a query, if there is one.
            headers: more of the request.
            origin: the Origin header, as a browser's page would send it.
            last_event_id: of a client that comes back.

        Raises:
            HandshakeError: the answer is no event stream; ``.status``, ``.headers`` and ``.body`` say what it is.
            TimeoutError: there was no answer.
            Exception: what the application raises before its answer.
        """
        target = parse_url(self._url(path))
        fields = {
            "Host": target.authority,
            "Accept": "text/event-stream",
            "Cache-Control": "no-cache",
            **self._fields(headers, origin),
        }
        if last_event_id is not None:
            fields["Last-Event-ID"] = last_event_id.encode().decode("latin-1")
        for name, value in fields.items():
            check_header(name, value)
        request = serialize_head(f"GET {target.resource} HTTP/1.1", fields.items())
        exchange = Exchange(partial(self._serve, address=self._address()))
        exchange.start()
        es = TestedEventSource(exchange, request, self.timeout, self._raises)
        self._opened.append(es)
        return es

    def wait_until(self, condition: Callable[[], Any], timeout: float | None = None) -> Any:
        """Let the application run until a condition is true; returns its value.

        Args:
            condition: is called again and again.
            timeout: seconds; the client's unless given.

        Raises:
            TimeoutError: it has not become true in time.
        """
        __tracebackhide__ = True
        seconds = self.timeout if timeout is None else timeout
        deadline = None if seconds is None else monotonic() + seconds
        while not (value := condition()):
            if deadline is not None and monotonic() >= deadline:
                raise TimeoutError(f"what is waited for has not come about within {seconds} seconds")
            gevent.sleep(PAUSE)
        return value

    def close(self) -> None:
        """Close all that is open still, and wait until the application is done with it. The fixture does that.

        Raises:
            TimeoutError: it is not; the message says where it is.
            Exception: what the application has raised, where nothing has noticed it yet.
        """
        opened, self._opened = self._opened, []
        errors = []
        for connection in opened:
            try:
                connection.close()
            except BaseException as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        __tracebackhide__ = True
        try:
            self.close()
        except Exception:
            if error is None:  # else the test has failed already, by what matters
                raise

    def _url(self, path: str) -> str:
        if not isinstance(path, str) or not path.startswith("/"):
            raise ConfigurationError(f"path must begin with a slash, as '/chat?room=1' does, not {path!r}")
        return f"ws://{self._host}{path}"

    def _address(self) -> tuple[str, int]:
        return "127.0.0.1", next(self._ports)

    def _fields(self, headers: Any, origin: str | None) -> dict[str, str]:
        fields = {**self._headers, **dict(headers or {})}
        return fields if origin is None else {**fields, "Origin": origin}
