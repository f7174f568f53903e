"""The errors of gevent-websocket's applications."""

from __future__ import annotations

from wsdriver.exceptions import ConnectionClosed as WebSocketError

__all__ = ["FrameTooLargeException", "ProtocolError", "WebSocketError"]


class ProtocolError(WebSocketError):
    """For ``except`` clauses. Never raised: where a peer breaks the protocol, ``receive`` returns None."""


class FrameTooLargeException(ProtocolError):
    """For ``except`` clauses. Never raised: see ``max_length``."""
