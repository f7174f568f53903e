"""wsdriver.broadcast on a WebSocketServer."""

import sys

import wsdriver


def chat(ws: wsdriver.WebSocket) -> None:
    """Send every message to all."""
    for message in ws:
        wsdriver.broadcast(server.connections, message)


extensions = [wsdriver.PermessageDeflate(no_context_takeover=True)] if "deflate" in sys.argv else []
server = wsdriver.WebSocketServer(("127.0.0.1", int(sys.argv[1])), chat, max_length=0, extensions=extensions)
server.serve_forever()
