"""The victim: a server, or a client, in a process of its own, so that what an attack costs it can be seen from outside.

``python -m tests.hostile.victim server`` prints its port, then a line for each WebSocket that ends.
``python -m tests.hostile.victim client`` reads URLs, one a line, connects to each in turn, and prints the same lines.

A line is the close code, 0 where there was no WebSocket, then the error's type and text.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import gevent

import wsdriver

#: Large enough that the noise of a process is small against it, small enough to be reached at once.
MAX_LENGTH = 16 * 1024 * 1024

OPTIONS: dict[str, Any] = {
    "max_length": MAX_LENGTH,
    "extensions": [wsdriver.PermessageDeflate()],
    "protocols": ["chat"],
    "close_timeout": 2,
}


def tell(code: int, error: BaseException | None) -> None:
    """Print how it ended."""
    said = " ".join(str(error).split())[:200]
    print(code, type(error).__name__, said, flush=True)


def converse(ws: wsdriver.WebSocket) -> None:
    """Answer each message with its size, and tell of the end."""
    try:
        for message in ws:
            ws.send(str(len(message)))
    except wsdriver.ConnectionClosed:
        pass  # in the midst of an answer
    if not isinstance(ws.close_error, wsdriver.HandshakeError):
        tell(ws.close_code or 0, ws.close_error)


def serve() -> None:
    """Serve for ever."""
    server = wsdriver.WebSocketServer(("127.0.0.1", 0), converse, **OPTIONS)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()


def visit(line: str) -> None:
    """Connect to the URL of a line, by way of the proxy that stands behind it, if one does."""
    url, _, proxy = line.strip().partition(" ")
    try:
        ws = wsdriver.connect(url, proxy=proxy or None, open_timeout=10, **OPTIONS)
    except (OSError, wsdriver.WebSocketError) as error:
        tell(0, error)
    else:
        converse(ws)


def main() -> None:
    """Be what the command line says."""
    gc.freeze()
    if sys.argv[1] == "server":
        serve()
    print("ready", flush=True)
    # (In a thread, so that connections that have ended may end on while the next line is waited for.)
    while line := gevent.get_hub().threadpool.apply(sys.stdin.readline):
        visit(line)


if __name__ == "__main__":
    main()
