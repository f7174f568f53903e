"""A blocking client, with or without monkey-patching."""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Any

import gevent
from gevent import socket

from wsdriver.driver.driver import Driver
from wsdriver.environ import Environ
from wsdriver.exceptions import HandshakeError
from wsdriver.green.options import ConnectionOptions
from wsdriver.green.tls import client_context, do_handshake
from wsdriver.green.websocket import WebSocket
from wsdriver.http import Headers
from wsdriver.options import make_options

__all__ = ["ClientWebSocket", "connect"]


class ClientWebSocket(WebSocket):
    """A client's WebSocket, as :func:`connect` returns it; a context manager that closes it.

    Attributes:
        url: of the server.
        status, headers: of its answer.
    """

    __slots__ = ("_driver_url",)

    def __init__(self, url: str, options: ConnectionOptions) -> None:
        super(WebSocket, self).__init__(options, True)
        self._driver_url = url
        self._handshake = None

    @property
    def url(self) -> str:
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
        return None if self._sock is None else self._sock.getpeername()

    def _accept(self) -> bool:
        return self.state == "open"

    def open(self, sock: Any, driver: Driver, secure: bool, deadline: float | None) -> None:
        """Do the opening handshake over a connected socket.

        Raises:
            HandshakeError: the server refused, or answered wrongly.
            TimeoutError: it did not answer in time.
        """
        self._attach(sock, driver, secure, b"")
        driver.start()
        if self._sock is not None:
            self._flush()
        in_time = self._wait_opening(deadline)
        if driver.ready_state == 0 or driver.status != 101 or self._is_refused():
            error = self.close_error
            self.terminate()
            if not in_time:
                raise TimeoutError(f"{self.url} did not answer within {self.options.open_timeout} seconds")
            if isinstance(error, HandshakeError):
                raise error
            raise HandshakeError(f"the connection to {self.url} ended in the handshake: {error}", 0) from error

    def _is_refused(self) -> bool:
        return isinstance(self.close_error, HandshakeError)

    def __enter__(self) -> ClientWebSocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        elif isinstance(error, Exception):
            self.close(1011, "the client failed")
        else:
            self.terminate()


def connect(url: str, protocols: Any = (), *, tls: Any = True, **options: Any) -> ClientWebSocket:
    """Open a WebSocket to a server; blocks this greenlet, or script, until it is open.

    ::

        with wsdriver.connect("wss://host/path", ["chat"]) as ws:
            ws.send("hello")
            print(ws.receive())

    Args:
        url: ``ws:`` or ``wss:``; a user name and password in it become Basic authentication.
        protocols: the subprotocols to offer, in order of preference.
        tls: True checks the certificate and the host name; an ``ssl.SSLContext`` says otherwise.
        **options: see :class:`~wsdriver.green.options.ConnectionOptions`.

    Returns:
        an open WebSocket; also a context manager.

    Raises:
        ConfigurationError: the URL or an option is wrong.
        OSError: no connection to the host; ``ssl.SSLError`` where it is not who it should be.
        HandshakeError: the server refused; ``.status``, ``.headers`` and ``.body`` say how.
        TimeoutError: it took more than ``open_timeout`` seconds.
    """
    chosen = make_options(ConnectionOptions, {"protocols": protocols, **options})
    ws = ClientWebSocket(url, chosen)
    driver = Driver.for_client(ws, chosen)
    target = driver.target
    timeout = chosen.open_timeout
    deadline = None if timeout is None else monotonic() + timeout
    sock = None
    try:
        with gevent.Timeout(timeout, TimeoutError(f"no connection to {target.authority} within {timeout} seconds")):
            sock = socket.create_connection((target.host, target.port))
            if target.secure:
                sock = client_context(tls).wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
                do_handshake(sock)
        ws.open(sock, driver, target.secure, deadline)
    except BaseException:
        if ws._driver is not None:
            ws.terminate()
        elif sock is not None:
            sock.close()
        raise
    return ws
