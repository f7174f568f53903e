"""The WebSocket that applications see, on a server's side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wsdriver.driver.driver import Driver
from wsdriver.driver.server import reason_of
from wsdriver.driver.versions import version_of
from wsdriver.environ import Environ, headers_of, is_secure, is_websocket, url_of
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.green.connection import Connection
from wsdriver.green.loop import call_in_hub
from wsdriver.green.options import ConnectionOptions
from wsdriver.green.takeover import find_takeover, takeover_of
from wsdriver.green.wsgi import WsgiResponse
from wsdriver.http import Headers, check_header
from wsdriver.options import check_int, make_options

__all__ = ["Handshake", "WebSocket"]

#: Headers that say where the answer to a refused request ends, and its connection.
_OF_REFUSALS = frozenset(["connection", "content-length", "transfer-encoding"])


class Handshake:
    """What a client asked for.

    Attributes:
        path (str): unquoted, as in PATH_INFO.
        query_string (str): as sent; ``query`` has it decoded.
        headers (Mapping[str, str]): by name, in any case.
        secure (bool): whether it came over TLS.
        protocol_version (int | None): 13 for RFC 6455; the number of the draft for an older one, 75 and 76 for hixie's;
            None where the request names no version, or is for no WebSocket.
    """

    __slots__ = ("headers", "path", "protocol_version", "query_string", "secure")

    def __init__(self, environ: Environ) -> None:
        self.path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        self.query_string: str = environ.get("QUERY_STRING", "")
        self.headers: Headers = headers_of(environ)
        self.secure = is_secure(environ)
        self.protocol_version = _protocol_version(environ)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of one that is given twice, the last."""
        from urllib.parse import parse_qsl

        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def origin(self) -> str | None:
        """The Origin header: which site's page is asking, or None outside of browsers."""
        return self.headers.get("Origin") or self.headers.get("Sec-WebSocket-Origin")  # hybi-04 to -08


def _protocol_version(environ: Environ) -> int | None:
    if not is_websocket(environ):
        return None
    try:
        return int(version_of(environ).name.rpartition("-")[2])
    except HandshakeError:  # a version that we do not know, or none
        number = environ.get("HTTP_SEC_WEBSOCKET_VERSION", "")
        return int(number) if number.isascii() and number.isdigit() else None


class WebSocket(Connection):
    """A WebSocket in a WSGI application, or in the handler of a server (RFC 6455).

    The handshake goes out at the first use: ``accept``, ``receive``, iteration, ``send``, ``close``, ``run`` or
    ``wsgi_response``. Until then the application may look at the request and answer it otherwise::

        def app(environ, start_response):
            if wsdriver.is_websocket(environ):
                ws = wsdriver.WebSocket(environ, protocols=["chat"])
                for message in ws:  # str for text, bytes for binary
                    ws.send(message)
                return ws.wsgi_response()
            ...

    It reads by itself: pings are answered, and the end is noticed, whatever the application does. Any greenlet and any
    thread may call any method at any time; one of them receives.

    Args:
        environ: of the request (PEP 3333).
        protocols: the subprotocols to choose from (a str, or a list of them): the first that the client names is taken
            (§4.2.2).
        **options: see :class:`~wsdriver.green.options.ConnectionOptions`.

    Attributes:
        close_code (int | None): how it ended (§7.1.5): 1005 for a close frame without a code, 1006 for the loss of the
            connection; None before the end.
        close_reason (str | None): the sentence beside the code (§7.1.6); None before the end.
        was_clean (bool): whether close frames went both ways.
        close_error (BaseException | None): what ended it where that was an error.
        latency (float | None): seconds that the last ping of the heartbeat took.
        messages_received (int): how many ``receive`` has given.
        messages_sent (int): how many ``send`` has taken.
        bytes_received (int): on the wire, without TLS.
        bytes_sent (int): likewise.

    Raises:
        ConfigurationError: an option has a wrong name or value.
    """

    __slots__ = ("__dict__", "_environ", "_handshake")

    def __init__(self, environ: Environ, protocols: Any = (), **options: Any) -> None:
        if type(environ) is not dict and not isinstance(environ, Mapping):
            raise ConfigurationError(f"WebSocket() takes a WSGI environ, not {type(environ).__name__}")
        takeover = find_takeover(environ)
        hub = None if takeover is None else takeover.hub
        super().__init__(make_options(ConnectionOptions, {"protocols": protocols, **options}), False, hub)
        self._environ = environ
        self._handshake: Handshake | None = None

    @property
    def url(self) -> str:
        """The URL that the client asked for: ``ws:``, or ``wss:`` where the connection is encrypted."""
        return url_of(self.environ)

    @property
    def environ(self) -> Environ:
        """The request's WSGI environ."""
        return self._environ

    @property
    def handshake(self) -> Handshake:
        """What the client asked for."""
        if self._handshake is None:
            self._handshake = Handshake(self.environ)
        return self._handshake

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("wss:")

    @property
    def remote_address(self) -> tuple[str, int] | None:
        """The peer's ``(host, port)``, or None where the server does not say."""
        host = self.environ.get("REMOTE_ADDR")
        if not host:
            return None
        port = str(self.environ.get("REMOTE_PORT", ""))
        return (host, int(port) if port.isdigit() else 0)

    def reject(self, status: int = 403, message: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Answer the request with an HTTP status instead of a handshake (§4.2.2). The connection ends; there is no need
        to wait.

        ``close_error`` is a HandshakeError with that status then, and sending raises ConnectionClosed.

        Args:
            status: from 200 to 599, such as 401 or 404.
            message: a sentence for the body; the status says it unless given.
            headers: that the answer needs, such as WWW-Authenticate, Location or Retry-After.

        Raises:
            RuntimeError: the handshake has gone out: ``close`` is for that.
            ConnectionClosed: the peer has gone, or the request is refused already.
            ConfigurationError: a status or a header that cannot be sent, or the server cannot hand over its connection.
        """
        check_int("status", status, 200, 599)
        if not isinstance(message, str):
            raise ConfigurationError(f"message must be a str, not {message!r}")
        for name, value in (headers or {}).items():
            check_header(name, value)
            if name.lower() in _OF_REFUSALS:
                raise ConfigurationError(f"the header {name} is written by reject() itself")
        error = HandshakeError(message or reason_of(status), status, headers)
        if self._is_elsewhere():
            call_in_hub(self._hub, self._reject, error)
        else:
            self._reject(error)

    def _reject(self, error: HandshakeError) -> None:
        driver = self._take_request()
        if driver.ready_state == 3:
            raise self._closed_error()
        if driver.ready_state != 0:
            raise RuntimeError("the handshake has gone out already: reject() comes before it, close() after it")
        driver.refuse(error)

    def _take_request(self) -> Driver:
        """Take the connection over from the server, if that has not happened yet; returns the driver."""
        if self._driver is None:
            sock, early = takeover_of(self.environ).claim(self)
            self._attach(sock, Driver(self, self.options, None, False), hasattr(type(sock), "unwrap"), early)
        return self._driver

    def _accept(self) -> bool:
        if self._driver is None:
            return self._start(self._take_request())
        return self.state == "open"

    def wsgi_response(self) -> WsgiResponse:
        """Finish, and return what the application has to return.

        With a listener for messages, this receives until the end first. The connection is closed (1000) if it is open.

        Returns:
            an iterable of no bytes, which is right for the server that this runs under; frameworks may wrap it.

        Raises:
            ConfigurationError: the server cannot hand over its connection.
        """
        self.accept()
        if self._has_message_listener():
            self.run()
        self._start_close(1000, "")
        self._wait_released()
        self._dispatch_end()
        return WsgiResponse(self.http_status)
