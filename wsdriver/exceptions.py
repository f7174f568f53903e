"""Every error that wsdriver raises or reports.

::

    WebSocketError
    ├── ConfigurationError (ValueError)   an option or argument of ours is wrong: raised at the call
    ├── HandshakeError                    the opening handshake failed: .status, .headers, .body
    │   └── ProxyError                    ... at the proxy on the way
    ├── ProtocolError                     the peer broke the protocol: .code is the close code it gets
    │   ├── InvalidPayload                1007, text that is not UTF-8
    │   ├── MessageTooBig                 1009
    │   └── ExtensionError                1002, or 1010 where a client misses an extension that it needs
    └── ConnectionClosed                  used after its end: .received and .sent say how it ended
"""

from __future__ import annotations

from collections.abc import Mapping

from wsdriver.codes import CloseCode

__all__ = [
    "ConfigurationError",
    "ConnectionClosed",
    "ExtensionError",
    "HandshakeError",
    "InvalidPayload",
    "MessageTooBig",
    "ProtocolError",
    "ProxyError",
    "WebSocketError",
]


class WebSocketError(Exception):
    """The root of all errors of this package.

    Attributes:
        stage: out of a client's ``connect``, what it had come to: ``'resolve'``, ``'connect'``, ``'proxy'``, ``'tls'``,
            ``'http'`` (the server answered with another status than 101) or ``'handshake'`` (its answer is wrong, or
            none). The ``OSError`` and ``TimeoutError`` that come from there have it too.
    """

    stage: str | None = None

    @property
    def message(self) -> str:
        """The sentence that says what was wrong."""
        return str(self)


class ConfigurationError(WebSocketError, ValueError):
    """An option has an unknown name or a value that it cannot take."""


class HandshakeError(WebSocketError):
    """The opening handshake failed (RFC 6455 §4).

    Attributes:
        status: the HTTP status, as int: on a server the one that it answers, on a client the one that it got
            (0 where no answer came).
        headers: on a server, headers that the answer needs; on a client, the headers of the answer.
        body: on a client, the first bytes of the body of the answer.
    """

    def __init__(
        self, message: str, status: int = 400, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers: Mapping[str, str] = {} if headers is None else headers
        self.body = body


class ProxyError(HandshakeError):
    """The proxy refused the tunnel, or did not speak HTTP."""


class ProtocolError(WebSocketError):
    """The peer sent what the protocol forbids.

    Attributes:
        code: the close code that tells the peer (RFC 6455 §7.4.1).
    """

    code: int = int(CloseCode.PROTOCOL_ERROR)


class InvalidPayload(ProtocolError):
    """Text that is not UTF-8 (RFC 6455 §8.1)."""

    code = int(CloseCode.INVALID_PAYLOAD)


class MessageTooBig(ProtocolError):
    """A message over ``max_length``, or one in too many fragments."""

    code = int(CloseCode.MESSAGE_TOO_BIG)


class ExtensionError(ProtocolError):
    """An extension was negotiated wrongly, or could not handle a message."""

    def __init__(self, message: str, code: int = int(CloseCode.PROTOCOL_ERROR)) -> None:
        super().__init__(message)
        self.code = int(code)


class ConnectionClosed(WebSocketError):
    """The connection has ended, or is ending, and takes no more messages.

    Attributes:
        received: ``(code, reason)`` of the peer's close frame, or None.
        sent: ``(code, reason)`` of our own, or None.
    """

    def __init__(
        self, message: str, received: tuple[int, str] | None = None, sent: tuple[int, str] | None = None
    ) -> None:
        super().__init__(message)
        self.received = received
        self.sent = sent
