"""gevent-websocket under pywsgi, and a loop of send."""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from gevent.pywsgi import WSGIServer
from geventwebsocket.exceptions import WebSocketError
from geventwebsocket.handler import WebSocketHandler

websockets: set[Any] = set()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Send every message to all."""
    websocket = environ["wsgi.websocket"]
    websockets.add(websocket)
    try:
        while (message := websocket.receive()) is not None:
            for each in tuple(websockets):
                with suppress(WebSocketError):
                    each.send(message)
    except WebSocketError:
        pass
    finally:
        websockets.discard(websocket)
    return []


address = ("127.0.0.1", int(sys.argv[1]))
WSGIServer(address, app, handler_class=WebSocketHandler, log=None, error_log=None).serve_forever()
