"""The server that serves a WSGI application with WebSockets."""

from __future__ import annotations

from typing import Any

from wsdriver.compat.geventwebsocket.handler import WebSocketHandler
from wsdriver.green.legacy import Client
from wsdriver.green.pywsgi import WSGIServer
from wsdriver.log import log

__all__ = ["WebSocketServer"]


class WebSocketServer(WSGIServer):  # type: ignore[misc]  # gevent has no types for it
    """``gevent.pywsgi.WSGIServer`` with WebSockets in ``environ['wsgi.websocket']``.

    Args:
        listener, application: as for gevent's.
        debug: kept.
        **kwargs: as for gevent's.

    Attributes:
        clients: the open connections, by the peer's address.
        logger: ours.
    """

    handler_class = WebSocketHandler
    logger = log

    def __init__(self, *args: Any, debug: bool = False, **kwargs: Any) -> None:
        self.debug = debug
        self.clients: dict[Any, Client] = {}
        super().__init__(*args, **kwargs)
