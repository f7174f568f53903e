"""Falcon: `gunicorn -k wsdriver.worker examples.frameworks.falcon_app:app`"""

from __future__ import annotations

from falcon import HTTP_426, App, HTTPError, Request, Response

import wsdriver


class Page:
    def on_get(self, request: Request, response: Response) -> None:
        response.text = "a page of Falcon\n"


class Echo:
    def on_get(self, request: Request, response: Response) -> None:
        if not wsdriver.is_websocket(request.env):
            raise HTTPError(HTTP_426)
        ws = wsdriver.WebSocket(request.env)
        try:
            for message in ws:
                ws.send(message)
        except wsdriver.ConnectionClosed:
            pass  # the client has gone; Falcon would log an error
        response.status = 101
        response.stream = ws.wsgi_response()


app = App()
app.add_route("/", Page())
app.add_route("/echo", Echo())
