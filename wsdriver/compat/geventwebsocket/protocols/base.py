"""What stands between an application class and its WebSocket."""

from __future__ import annotations

from typing import Any

__all__ = ["BaseProtocol"]


class BaseProtocol:
    """Hands on what happens. A subclass may make something of it first.

    Attributes:
        PROTOCOL_NAME: the subprotocol that is offered to clients.
    """

    PROTOCOL_NAME = ""

    def __init__(self, app: Any) -> None:
        self._app = app

    def on_open(self) -> None:
        self.app.on_open()

    def on_message(self, message: Any) -> None:
        self.app.on_message(message)

    def on_close(self, reason: Any = None) -> None:
        self.app.on_close(reason)

    @property
    def app(self) -> Any:
        """The application's instance for this connection."""
        return self._app

    @property
    def server(self) -> Any:
        """The server, which has ``clients``."""
        return self.handler.server

    @property
    def handler(self) -> Any:
        """The connection's handler, which has ``active_client``."""
        return self.app.ws.handler
