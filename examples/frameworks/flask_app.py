"""Flask: `gunicorn -k wsdriver.worker examples.frameworks.flask_app:app`"""

from __future__ import annotations

from typing import Any

from flask import Flask, request

import wsdriver

app = Flask(__name__)


@app.get("/")
def page() -> str:
    return "a page of Flask\n"


@app.route("/echo", websocket=True)  # for WebSockets only: werkzeug wants to be told; all else gets 400
def echo() -> Any:
    ws = wsdriver.WebSocket(request.environ)
    try:
        for message in ws:
            ws.send(message)
    except wsdriver.ConnectionClosed:
        pass  # the client has gone; Flask would log an error
    return ws.wsgi_response()
