"""bottle-websocket's interface::

from wsdriver.compat.bottle_websocket import GeventWebSocketServer, websocket
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from bottle import ServerAdapter, request

from wsdriver.compat.geventwebsocket.server import WebSocketServer

__all__ = ["GeventWebSocketServer", "websocket"]


def websocket(callback: Callable[..., Any]) -> Callable[..., None]:
    """A plugin of Bottle: the route's function gets the request's WebSocket, which is None on a plain request."""

    @wraps(callback)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        callback(request.environ.get("wsgi.websocket"), *args, **kwargs)

    return wrapper


class GeventWebSocketServer(ServerAdapter):  # type: ignore[misc]  # Bottle has no types
    """For Bottle's ``run(server=GeventWebSocketServer)``."""

    def run(self, handler: Any) -> None:
        """Serve for ever."""
        log = None if self.quiet else "default"
        WebSocketServer((self.host, self.port), handler, log=log).serve_forever()
