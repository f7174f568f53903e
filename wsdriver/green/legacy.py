"""``environ['wsgi.websocket']``: a WebSocket that applications written for gevent-websocket know.

It has that library's methods and attributes beside ours. Where both have one of the same name, theirs counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import cache
from time import monotonic
from typing import Any

from wsdriver.codes import is_valid_close_code
from wsdriver.environ import Environ
from wsdriver.exceptions import ConnectionClosed
from wsdriver.framing.opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from wsdriver.green.websocket import WebSocket
from wsdriver.green.wsgi import heed_status
from wsdriver.log import log

__all__ = [
    "Client",
    "LegacyHandler",
    "LegacyServer",
    "LegacyWebSocket",
    "accept_unused",
    "handshake_first",
    "let_go",
    "make_legacy",
]

#: Seconds for which the messages of a client that has gone keep ``closed`` False, if nobody receives them.
ABANDONED = 10.0


class Client:
    """An entry of ``server.clients``. Applications keep there what they know of a client, as attributes.

    Attributes:
        address: the peer's.
        ws: its WebSocket.
    """

    def __init__(self, address: Any, ws: LegacyWebSocket) -> None:
        self.address = address
        self.ws = ws


class LegacyServer:
    """What ``ws.handler.server`` is under a server that is not gevent's.

    Attributes:
        application: that it serves.
        logger: the server's.
        clients: the open connections, by address.
    """

    def __init__(self, application: Any, logger: Any) -> None:
        self.application = application
        self.logger = logger
        self.clients: dict[Any, Client] = {}


class LegacyHandler:
    """What ``ws.handler`` is: as much of gevent-websocket's as applications use.

    Attributes:
        websocket: the connection.
        server: that it belongs to.
    """

    __slots__ = ("server", "websocket")

    def __init__(self, websocket: LegacyWebSocket, server: Any) -> None:
        self.websocket = websocket
        self.server = server

    @property
    def environ(self) -> Environ:
        """The request's WSGI environ."""
        return self.websocket.environ

    @property
    def client_address(self) -> Any:
        """The peer's, by which ``server.clients`` has it."""
        return self.websocket._key()

    @property
    def active_client(self) -> Client:
        """This connection's entry of ``server.clients``."""
        return self.websocket._entry()

    @property
    def logger(self) -> Any:
        """The server's, or ours."""
        return getattr(self.server, "logger", log)


class LegacyWebSocket(WebSocket):
    """A WebSocket with the methods and attributes of gevent-websocket's.

    Beside what is listed there, ``receive`` returns a bytearray for a binary message, ``None`` once at the end, and
    raises after that; ``close`` takes any code that may be sent, and waits for nothing. What is raised after the end is
    a :class:`~wsdriver.ConnectionClosed`, and also gevent-websocket's own ``WebSocketError`` where that is imported.

    Args:
        environ: of the request.
        server: which has ``clients``; None for none.
        protocols: the subprotocols to choose from.
    """

    OPCODE_CONTINUATION = CONTINUATION
    OPCODE_TEXT = TEXT
    OPCODE_BINARY = BINARY
    OPCODE_CLOSE = CLOSE
    OPCODE_PING = PING
    OPCODE_PONG = PONG

    __slots__ = ("_asked", "_member", "_over", "_server")

    def __init__(self, environ: Environ, server: Any = None, protocols: Any = (), **options: Any) -> None:
        super().__init__(environ, protocols, **options)
        self._server = server
        self._over = False  # receive() has said so, or close() was called
        self._asked: float | None = None  # since when it is being asked whether it is closed, and not received from
        self._member: Client | None = None

    # --- the request ------------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str | None:
        """The Origin header."""
        return self.environ.get("HTTP_ORIGIN")

    @property
    def protocol(self) -> str | None:
        """The subprotocols that the client asked for, as it wrote them."""
        return self.environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL")

    @property
    def version(self) -> str | None:
        """The protocol version's number, as the client wrote it."""
        return self.environ.get("HTTP_SEC_WEBSOCKET_VERSION")

    @property
    def path(self) -> str | None:
        """The request's."""
        return self.environ.get("PATH_INFO")

    @property
    def handler(self) -> LegacyHandler:
        """The way to ``server.clients`` and ``active_client``."""
        return LegacyHandler(self, self._server)

    @property
    def logger(self) -> Any:
        """The server's."""
        return self.handler.logger

    # --- the connection ---------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the connection is closed, and all messages have been received. Asking does the handshake."""
        if self._driver is None:
            self.accept()
        if self.ready_state < 2:
            return False
        if self._over or not self._unhandled():
            return True
        # They are for a loop of `while not ws.closed: ws.receive()`. Who never receives must not wait for ever.
        if self._asked is None:
            self._asked = monotonic()
        return monotonic() - self._asked > ABANDONED

    def receive(self, timeout: float | None = None) -> str | bytearray | None:  # type: ignore[override]
        """Wait for the next message: str for text, bytearray for binary; None when the connection is closed.

        Raises:
            ConnectionClosed: None has been returned already, or ``close`` was called.
            TimeoutError: nothing came in time; nothing is lost.
        """
        if self._over:
            raise self._closed_error()
        self._asked = None
        message = super().receive(timeout)
        if message is None:
            self._over = True
            return None
        return message if isinstance(message, str) else bytearray(message)

    def send(self, message: Any, binary: bool | None = None, compress: bool | None = None) -> None:
        """Send a message: str as text, bytes-like as binary.

        Raises:
            ConnectionClosed: the connection has ended; then also for what is no message, such as ``receive``'s None.
        """
        try:
            super().send(message, binary, compress)
        except TypeError:
            if self.ready_state > 1:
                raise self._closed_error() from None
            raise

    def send_frame(self, message: Any, opcode: int) -> None:
        """Send a frame: a whole message, a ping, a pong or a close frame without a code."""
        if opcode == PING:
            self.ping(message or b"")
        elif opcode == PONG:
            self.pong(message or b"")
        elif opcode == CLOSE:
            self.close()
        else:
            self.send(message, opcode == BINARY)

    def close(  # type: ignore[override]
        self, code: int = 1000, message: str | bytes | None = "", reason: str = ""
    ) -> None:
        """Send a close frame, and wait for nothing. Closing twice is harmless.

        Raises:
            ValueError: the code may not stand in a close frame.
        """
        if isinstance(code, bool) or not isinstance(code, int) or not is_valid_close_code(code):
            raise ValueError(f"{code!r} may not stand in a close frame (RFC 6455 §7.4)")
        said = message or reason
        if self._driver is None:
            self.accept()
        self._over = True
        self._start_close(code, said if isinstance(said, str) else bytes(said).decode(errors="replace"))

    def _closed_error(self) -> ConnectionClosed:
        error = super()._closed_error()
        kind = _closed_class()
        if kind is ConnectionClosed:
            return error
        same = kind(str(error), error.received, error.sent)
        same.__cause__ = error.__cause__
        return same

    # --- server.clients ---------------------------------------------------------------------------------------------

    def _accept(self) -> bool:
        first = self._driver is None
        accepted = super()._accept()
        if first and accepted and self._server is not None:
            entry = self._entry()
            _clients_of(self._server)[entry.address] = entry
            self._at_release(_leave)
        return accepted

    def _entry(self) -> Client:
        if self._member is None:
            self._member = Client(self._key(), self)
        return self._member

    def _key(self) -> Any:
        # Clients of a Unix socket have no address.
        return self.remote_address or ("", id(self))


def _leave(ws: Any) -> None:
    clients = _clients_of(ws._server)
    key = ws._key()
    if key in clients and clients[key].ws is ws:
        del clients[key]


def _clients_of(server: Any) -> dict[Any, Client]:
    if not hasattr(server, "clients"):
        server.clients = {}  # as gevent-websocket gives it to gevent's servers
    clients: dict[Any, Client] = server.clients
    return clients


def _closed_class() -> type[ConnectionClosed]:
    """Return the class of errors: one that gevent-websocket's users catch, where its module is loaded."""
    theirs = getattr(sys.modules.get("geventwebsocket.exceptions"), "WebSocketError", None)
    return ConnectionClosed if theirs is None else _joined(theirs)


@cache
def _joined(theirs: type[Exception]) -> type[ConnectionClosed]:
    return type("ConnectionClosed", (ConnectionClosed, theirs), {"__doc__": ConnectionClosed.__doc__})


def make_legacy(environ: dict[str, Any], server: Any) -> None:
    """Put a WebSocket into the environ of a request for one, as gevent-websocket does. No handshake is done yet.

    Args:
        environ: of the request.
        server: whose ``clients`` it joins, and whose ``application`` says with ``app_protocol(path)``, if it has that,
            which subprotocol it takes.
    """
    app_protocol = getattr(server.application, "app_protocol", None)
    protocol = app_protocol(environ.get("PATH_INFO", "")) if app_protocol is not None else ""
    environ["wsgi.websocket_version"] = environ.get("HTTP_SEC_WEBSOCKET_VERSION")
    environ["wsgi.websocket"] = LegacyWebSocket(environ, server, [protocol] if protocol else ())


def accept_unused(environ: Environ) -> None:
    """Do the handshake for an application that has returned without a word, to WSGI or to its WebSocket."""
    ws = environ.get("wsgi.websocket")
    if isinstance(ws, LegacyWebSocket):
        ws.accept()


def let_go(environ: dict[str, Any]) -> None:
    """The handler is done: the environ and the WebSocket need not hold each other any more."""
    ws = environ.get("wsgi.websocket")
    if isinstance(ws, LegacyWebSocket):
        environ["wsgi.websocket"] = None
        ws._member = None


def handshake_first(application: Any) -> Callable[..., Iterable[bytes]]:
    """Return the application with the handshake done before it is called, as gevent-websocket does it.

    It matters to applications that neither receive nor send at first, but wait for something else.
    """

    def call(environ: Environ, start_response: Any) -> Iterable[bytes]:
        ws = environ.get("wsgi.websocket")
        if not isinstance(ws, LegacyWebSocket):
            result: Iterable[bytes] = application(environ, start_response)
            return result
        if not ws.accept():
            return []

        def answered(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            heed_status(ws, status)
            return lambda data: None

        # What it answers as HTTP goes nowhere; but a generator wants to be run, and a framework's response closed.
        result = application(environ, answered) or ()
        try:
            for _ in result:
                pass
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        return []

    return call
