"""An application to look at: echo, with the live view for this machine, and, at /token, for who has the token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import wsdriver


def echo(environ: Any, start_response: Any) -> Iterable[bytes]:
    if not wsdriver.is_websocket(environ):
        start_response("204 No Content", [])
        return []
    ws = wsdriver.WebSocket(environ, ping=0.1)
    for message in ws:
        ws.send(message)
    return ws.wsgi_response()


app = wsdriver.monitor(wsdriver.monitor(echo), "/token", token="a-long-secret-of-some-length")
