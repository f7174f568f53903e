"""The echo of the growth tables: no limit on size, and no heartbeat unless its seconds are given.

python tests/bench/growth_server.py PORT [PING]
"""

import sys

import wsdriver


def echo(ws: wsdriver.WebSocket) -> None:
    """Answer each message with itself."""
    for message in ws:
        ws.send(message)


ping = float(sys.argv[2]) if len(sys.argv) > 2 else None
server = wsdriver.WebSocketServer(
    ("127.0.0.1", int(sys.argv[1])), echo, backlog=1024, max_length=0, ping=ping, ping_timeout=None
)
server.serve_forever()
