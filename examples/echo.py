"""Echo: every message goes back to where it came from.

python examples/echo.py --port 8080                   a server of our own
gunicorn -k wsdriver.worker examples.echo:app         the same in a WSGI application
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from typing import Any

import wsdriver


def echo(ws: wsdriver.WebSocket) -> None:
    """Answer each message with itself."""
    for message in ws:
        ws.send(message)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Echo on any path."""
    if not wsdriver.is_websocket(environ):
        start_response("426 Upgrade Required", [("Content-Type", "text/plain"), ("Upgrade", "websocket")])
        return [b"This is a WebSocket echo; connect with a WebSocket.\n"]
    ws = wsdriver.WebSocket(environ, max_length=0)
    echo(ws)
    return ws.wsgi_response()


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="a WebSocket echo server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    print(f"echo on ws://{arguments.host}:{arguments.port}/", flush=True)
    wsdriver.serve(echo, arguments.host, arguments.port, max_length=0)


if __name__ == "__main__":
    main()
