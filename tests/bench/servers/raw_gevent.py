"""TCP echo on gevent's own server: recv and sendall, no WebSocket at all."""

import sys
from typing import Any

from gevent.server import StreamServer
from gevent.socket import socket


def echo(sock: socket, address: Any) -> None:
    """Send back whatever arrives until the peer ends."""
    try:
        while data := sock.recv(65536):
            sock.sendall(data)
    except OSError:
        pass


StreamServer(("127.0.0.1", int(sys.argv[1])), echo).serve_forever()
