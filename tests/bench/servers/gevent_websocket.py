"""gevent-websocket under pywsgi: PORT [CERTFILE KEYFILE]. It knows no message limit, so none is switched off."""

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


address = ("127.0.0.1", int(sys.argv[1]))
tls = dict(zip(("certfile", "keyfile"), sys.argv[2:], strict=False))
WSGIServer(address, app, handler_class=WebSocketHandler, log=None, error_log=None, **tls).serve_forever()
