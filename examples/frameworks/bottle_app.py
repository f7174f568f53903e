"""Bottle: `gunicorn -k wsdriver.worker examples.frameworks.bottle_app:app`"""

from __future__ import annotations

from typing import Any

from bottle import Bottle, abort, request

import wsdriver

app = Bottle()


@app.get("/")
def page() -> str:
    return "a page of Bottle\n"


@app.get("/echo")
def echo() -> Any:
    if not wsdriver.is_websocket(request.environ):
        abort(426, "a WebSocket, please")
    ws = wsdriver.WebSocket(request.environ)
    try:
        for message in ws:
            ws.send(message)
    except wsdriver.ConnectionClosed:
        pass  # the client has gone; Bottle would log an error
    return ws.wsgi_response()
