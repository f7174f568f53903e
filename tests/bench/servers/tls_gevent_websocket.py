"""gevent-websocket under pywsgi over TLS: PORT CERTFILE KEYFILE."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from gevent.pywsgi import WSGIServer
from geventwebsocket.exceptions import WebSocketError
from geventwebsocket.handler import WebSocketHandler


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Echo every message until there is none."""
    websocket = environ["wsgi.websocket"]
    try:
        while (message := websocket.receive()) is not None:
            websocket.send(message)
    except WebSocketError:
        pass
    return []


port, certfile, keyfile = sys.argv[1:]
server = WSGIServer(
    ("127.0.0.1", int(port)),
    app,
    handler_class=WebSocketHandler,
    log=None,
    error_log=None,
    certfile=certfile,
    keyfile=keyfile,
)
server.serve_forever()
