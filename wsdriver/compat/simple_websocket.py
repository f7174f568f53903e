"""simple-websocket's server, for applications that call it by themselves.

::

    from wsdriver.compat.simple_websocket import ConnectionClosed, Server

docs/moving/flask-sock.md says what is different on purpose. (Its clients are :func:`wsdriver.connect`; what it has for
asyncio has no place here.)
"""

from __future__ import annotations

from typing import Any

from wsdriver import exceptions
from wsdriver.compat.subprotocols import by_client
from wsdriver.environ import Environ
from wsdriver.green.websocket import WebSocket

__all__ = ["ConnectionClosed", "ConnectionError", "Server", "SimpleWebsocketError"]


class SimpleWebsocketError(RuntimeError):
    """The root of these errors."""


class ConnectionError(SimpleWebsocketError):  # noqa: A001  # it is what that library calls it
    """The request is wrong, and has been answered with this status.

    Attributes:
        status_code: of the answer.
    """

    def __init__(self, status_code: int | None = None) -> None:
        super().__init__(f"Connection error: {status_code}")
        self.status_code = status_code


class ConnectionClosed(SimpleWebsocketError):
    """The connection has ended.

    Attributes:
        reason: the close code.
        message: the reason that the peer gave.
    """

    def __init__(self, reason: int = 1005, message: str | None = None) -> None:
        super().__init__(f"Connection closed: {reason} {message or ''}".rstrip())
        self.reason = reason
        self.message = message


class Server:
    """A server's side of a connection. The handshake is done at once.

    Args:
        environ: of the request.
        subprotocols: one, or several to choose from.
        ping_interval: seconds between pings; those of :class:`wsdriver.WebSocket` unless given.
        max_message_size: bytes; that of :class:`wsdriver.WebSocket` unless given.
        receive_bytes, thread_class, event_class, selector_class: change nothing: no thread is needed.
        **options: others of :class:`wsdriver.WebSocket`.

    Attributes:
        websocket: the connection itself, such as ``wsdriver.broadcast`` and ``wsdriver.Channel`` take it.

    Raises:
        ConnectionError: the request is wrong, and has been refused.
    """

    mode = "wsdriver"

    def __init__(
        self,
        environ: Environ,
        subprotocols: Any = None,
        receive_bytes: int = 4096,
        ping_interval: float | None = None,
        max_message_size: int | None = None,
        thread_class: Any = None,
        event_class: Any = None,
        selector_class: Any = None,
        **options: Any,
    ) -> None:
        if ping_interval is not None:
            options.update(ping=ping_interval, ping_timeout=ping_interval)
        if max_message_size is not None:
            options.update(max_length=max_message_size)
        if isinstance(subprotocols, str):
            subprotocols = [subprotocols]
        self.environ = environ
        self.websocket = WebSocket(environ, by_client(environ, subprotocols or ()), **options)
        if not self.websocket.accept():
            raise ConnectionError(getattr(self.websocket.close_error, "status", None))

    @classmethod
    def accept(cls, environ: Environ, *args: Any, **kwargs: Any) -> Server:
        """Return the connection of a request: another way to write the constructor."""
        return cls(environ, *args, **kwargs)

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return self.websocket.ready_state == 1

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was agreed."""
        return self.websocket.protocol

    @property
    def close_reason(self) -> int:
        """The close code."""
        return self.websocket.close_code or 1005

    @property
    def close_message(self) -> str | None:
        """The reason that the peer gave."""
        return self.websocket.close_reason

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """Wait for the next message; None where none comes within ``timeout`` seconds.

        Raises:
            ConnectionClosed: the connection has ended, and all messages have been received.
        """
        try:
            message = self.websocket.receive(timeout)
        except TimeoutError:
            return None
        if message is None:
            raise self._closed()
        return message

    def send(self, data: Any) -> None:
        """Send a message: bytes-like as binary, anything else as text.

        Raises:
            ConnectionClosed: the connection has ended.
        """
        try:
            self.websocket.send(data if isinstance(data, (bytes, bytearray, memoryview)) else str(data))
        except exceptions.ConnectionClosed as error:
            raise self._closed() from error

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Close, with a code and a reason.

        Raises:
            ConnectionClosed: the connection has ended already.
            ValueError: a code that an application may not use.
        """
        if not self.connected:
            raise self._closed()
        self.websocket.close(reason or 1000, message or "")

    def _closed(self) -> ConnectionClosed:
        return ConnectionClosed(self.close_reason, self.close_message)
