"""websockets with one thread per connection: the blocking style without gevent."""

import sys

from websockets.sync.server import ServerConnection, serve


def echo(websocket: ServerConnection) -> None:
    """Echo every message."""
    for message in websocket:
        websocket.send(message)


with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=None, compression=None) as server:
    server.serve_forever()
