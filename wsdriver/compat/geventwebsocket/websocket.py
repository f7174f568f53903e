"""The class of ``environ['wsgi.websocket']``, for type checks and the texts of errors."""

from __future__ import annotations

from wsdriver.green.legacy import LegacyWebSocket as WebSocket

__all__ = ["MSG_ALREADY_CLOSED", "MSG_CLOSED", "MSG_SOCKET_DEAD", "WebSocket"]

MSG_SOCKET_DEAD = "Socket is dead"
MSG_ALREADY_CLOSED = "Connection is already closed"
MSG_CLOSED = "Connection closed"
