"""The gunicorn worker class: ``-k wsdriver.compat.geventwebsocket.gunicorn.workers.GeventWebSocketWorker``."""

from __future__ import annotations

from wsdriver.green.gunicorn import WebSocketWorker
from wsdriver.green.legacy import handshake_first

__all__ = ["GeventWebSocketWorker"]


class GeventWebSocketWorker(WebSocketWorker):
    """``wsdriver.worker``, with the handshake before the application is called."""

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self._application = handshake_first(self._application)
