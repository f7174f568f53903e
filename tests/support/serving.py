"""A WebSocketServer in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import wsdriver


def echo(ws: wsdriver.WebSocket) -> None:
    """Answer each message with itself."""
    for message in ws:
        ws.send(message)


@contextmanager
def serving(handler: Any = echo, **options: Any) -> Iterator[wsdriver.WebSocketServer]:
    """Serve on a free port of the loopback address; the server's URL is its ``url``."""
    server = wsdriver.WebSocketServer(("127.0.0.1", 0), handler, **options)
    server.start()
    scheme = "wss" if server.ssl_enabled else "ws"
    server.url = f"{scheme}://127.0.0.1:{server.server_port}/"
    try:
        yield server
    finally:
        server.stop(timeout=1)
