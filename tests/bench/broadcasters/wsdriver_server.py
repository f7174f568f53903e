"""wsdriver.broadcast on a WebSocketServer, or with the argument "channel" a Channel's publish."""

import sys

import wsdriver


def chat(ws: wsdriver.WebSocket) -> None:
    """Send every message to all."""
    for message in ws:
        wsdriver.broadcast(server.connections, message)


def room(ws: wsdriver.WebSocket) -> None:
    """Publish every message to all members."""
    lobby.join(ws)
    for message in ws:
        lobby.publish(message)


lobby = wsdriver.Channel("lobby")
extensions = [wsdriver.PermessageDeflate(no_context_takeover=True)] if "deflate" in sys.argv else []
handler = room if "channel" in sys.argv else chat
server = wsdriver.WebSocketServer(("127.0.0.1", int(sys.argv[1])), handler, max_length=0, extensions=extensions)
server.serve_forever()
