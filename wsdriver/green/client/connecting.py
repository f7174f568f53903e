"""A blocking client, with or without monkey-patching."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any

from wsdriver.driver.redirects import is_redirect, redirect_url, same_origin, without_secrets
from wsdriver.environ import Environ
from wsdriver.exceptions import HandshakeError
from wsdriver.green.client.opening import Opening
from wsdriver.green.client.options import ClientOptions
from wsdriver.green.client.stages import Deadline, closing_on_error
from wsdriver.green.options import ConnectionOptions
from wsdriver.green.websocket import WebSocket
from wsdriver.http import Headers, without_password
from wsdriver.options import make_options

__all__ = ["ClientWebSocket", "connect", "open_websocket"]


class ClientWebSocket(WebSocket):
    """A client's WebSocket, as :func:`wsdriver.connect` returns it; a context manager that closes it.

    Leaving the block closes with 1000, with 1011 where an error leaves it, and cuts where it is interrupted.
    """

    __slots__ = ("_driver_url",)

    def __init__(self, url: str, options: ConnectionOptions) -> None:
        super(WebSocket, self).__init__(options, True)
        self._driver_url = url
        self._handshake = None

    @property
    def url(self) -> str:
        """The URL of the server; behind redirects, of the last one."""
        return self._driver_url

    @property
    def environ(self) -> Environ:
        return {}

    @property
    def status(self) -> int | None:
        """The status of the server's answer."""
        return None if self._driver is None else self._driver.status

    @property
    def headers(self) -> Headers | None:
        """The headers of the server's answer."""
        return None if self._driver is None else self._driver.headers

    @property
    def remote_address(self) -> Any:
        """Of the server, or of the proxy on the way; None once the connection is closed."""
        return None if self._sock is None else self._sock.getpeername()

    def _accept(self) -> bool:
        return self.state == "open"

    def take(self, opening: Opening) -> None:
        """Take over a connection whose server has agreed.

        Raises:
            HandshakeError: the server's answer is wrong; the message names the header.
        """
        self._attach(opening.sock, opening.driver, hasattr(opening.sock, "do_handshake"), opening.answer)
        if isinstance(self.close_error, HandshakeError):
            error = self.close_error
            error.stage = "handshake"
            self.terminate()
            raise error
        if self._sock is not None:
            self._flush()  # the answers to what came in one piece with the server's

    def __enter__(self) -> ClientWebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.close()
            elif isinstance(error, Exception):
                self.close(1011, "the client failed")
            else:
                self.terminate()
        finally:
            self._leave()


def connect(url: str, protocols: Any = (), **options: Any) -> ClientWebSocket:
    """Open a WebSocket to a server (RFC 6455 §4.1); blocks this greenlet, or script, until it is open.

    ::

        with wsdriver.connect("wss://host/path", ["chat"]) as ws:
            ws.send("hello")
            print(ws.receive())

    Its errors, but for ConfigurationError, say by the attribute ``stage`` what it had come to, see
    :class:`~wsdriver.WebSocketError`.

    Args:
        url: ``ws:`` or ``wss:``; a user name and password in it become Basic authentication.
        protocols: the subprotocols to offer, in order of preference.
        **options: see :class:`~wsdriver.green.client.options.ClientOptions` for ``tls``, ``proxy``, ``max_redirects``,
            ``unix`` and ``sock``, and :class:`~wsdriver.green.options.ConnectionOptions` for ``headers``, ``ping``,
            ``open_timeout`` and all others.

    Returns:
        an open WebSocket; also a context manager.

    Raises:
        ConfigurationError: the URL or an option is wrong.
        OSError: no connection: ``socket.gaierror`` where the host has no address, ``ssl.SSLError`` where it is not
            who it should be, ``ConnectionRefusedError`` and others.
        ProxyError: the proxy refused, or there is no way to it.
        HandshakeError: the server refused; ``.status``, ``.headers`` and ``.body`` say how.
        TimeoutError: it took more than ``open_timeout`` seconds.
    """
    chosen = make_options(ClientOptions, {"protocols": protocols, **options})
    chosen.warn(2)
    return open_websocket(url, chosen)


def open_websocket(url: str, options: ClientOptions) -> ClientWebSocket:
    """Do what :func:`connect` does, with options that are checked already."""
    deadline = Deadline(options.open_timeout)
    redirects = 0
    while True:
        opening = Opening(url, options, deadline)
        with closing_on_error(opening):
            opening.ask()
            refusal = opening.refusal
            if refusal is None:
                ws = ClientWebSocket(url, options)
                ws.take(opening)
                return ws
            if not is_redirect(refusal) or redirects == options.max_redirects or options.sock is not None:
                opening.read_body()
                raise _explained(refusal, options)
            opening.close()
            url, options = _redirected(url, options, refusal)
            redirects += 1


def _explained(refusal: HandshakeError, options: ClientOptions) -> HandshakeError:
    """Say of a redirect why it is not followed."""
    if is_redirect(refusal):
        sentence = f"{refusal}: it redirects to {without_password(refusal.headers['Location'][:200])!r}"
        if options.sock is not None:
            sentence += ", where a ready socket cannot follow"
        elif options.max_redirects:
            sentence += f", after {options.max_redirects} redirects: max_redirects"
        else:
            sentence += ", which max_redirects=1 would follow"
        refusal.args = (sentence,)
    return refusal


def _redirected(url: str, options: ClientOptions, answer: HandshakeError) -> tuple[str, ClientOptions]:
    """Return where to go on, and with what: another origin gets no credentials."""
    try:
        target = redirect_url(url, answer)
        if same_origin(url, target):
            return target, options
        if options.unix is not None:
            raise HandshakeError(
                f"the server redirects to {target!r}, which is not behind the Unix socket",
                answer.status,
                answer.headers,
                answer.body,
            )
    except HandshakeError as error:
        error.stage = "http"
        raise
    tls = options.tls and replace(options.tls, server_hostname=None)  # that was of this origin
    return target, replace(options, headers=without_secrets(options.headers), tls=tls)
