"""The handler class for ``gevent.pywsgi``."""

from __future__ import annotations

from typing import Any

from wsdriver.green.legacy import Client, LegacyHandler, handshake_first
from wsdriver.green.pywsgi import WebSocketHandler as _Handler

__all__ = ["Client", "WebSocketHandler"]


class WebSocketHandler(_Handler):
    """:class:`wsdriver.WebSocketHandler`, with the handshake before the application is called."""

    application: Any

    def _run(self, takeover: Any) -> None:
        self.application = handshake_first(self.application)
        super()._run(takeover)

    @property
    def websocket(self) -> Any:
        """The request's WebSocket, or None."""
        return self.environ.get("wsgi.websocket")

    @property
    def active_client(self) -> Client:
        """This connection's entry of ``server.clients``."""
        return LegacyHandler(self.environ["wsgi.websocket"], self.server).active_client
