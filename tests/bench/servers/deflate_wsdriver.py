"""examples/echo.py with permessage-deflate, its options as they are by default."""

import sys

import wsdriver


def echo(ws: wsdriver.WebSocket) -> None:
    """Answer each message with itself."""
    for message in ws:
        ws.send(message)


wsdriver.serve(echo, "127.0.0.1", int(sys.argv[1]), max_length=0, extensions=[wsdriver.PermessageDeflate()])
