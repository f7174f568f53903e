"""One end of a link: a server, or a client, which is told what to do, and tells, over a Unix socket.

``python -m tests.faults.end server|client FD OWN OTHER OPTIONS``; no addresses: in this machine's own network.
"""

from __future__ import annotations

import json
import random
import socket as stdlib_socket
import sys
import zlib
from time import monotonic
from typing import Any

import gevent
from gevent import socket

import wsdriver
from tests.faults import app
from tests.faults.ends import Ends
from tests.faults.tun import enter_network
from tests.support.net import read_head

PORT = 8765

OLD_REQUEST = (
    "GET {path} HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: localhost\r\n"
    "Origin: http://localhost\r\n\r\n"
)


def make(number: int) -> bytes:
    """Return the message of that number, which proves itself."""
    filling = random.Random(number)
    body = b"%d " % number + filling.randbytes(filling.choice((0, 100, 1000, 20_000)))
    return b"%08x" % zlib.crc32(body) + body


class Client:
    """Connections to the server at the other end.

    Args:
        url: of the server.
        options: of the connections.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._url = url
        self._options = options
        self._ends = Ends()
        self._running: list[Any] = []
        self._sockets: list[Any] = []
        self._sockets_of_old: list[Any] = []
        self._right = 0
        self._over = False

    def open(self, kind: str, path: str) -> None:
        """Open a connection to the server's handler of that path, and do with it what the method ``kind`` does."""
        ws = wsdriver.connect(self._url + path, inbound_limit=65536, **self._options)
        self._sockets.append(ws)
        self._running.append(gevent.spawn(self._ends.run, getattr(self, kind), ws))

    def open_old(self, path: str) -> str:
        """Open one of hixie-75, which has no pings, and no handshake to speak of; return the answer's first line."""
        host, _, port = self._url.rpartition("//")[2].partition(":")
        sock = socket.create_connection((host, int(port)))
        self._sockets_of_old.append(sock)
        sock.sendall(OLD_REQUEST.format(path=path).encode())
        return read_head(sock.recv).partition(b"\r\n")[0].decode()

    # --- what is done with a connection -----------------------------------------------------------------------------

    def talk(self, ws: Any) -> None:
        """Send numbered messages, and check that they come back; a few are on their way at a time."""
        sent = received = 0
        while not self._over or received < sent:
            if not self._over and sent < received + 3:
                ws.send(make(sent))
                sent += 1
                gevent.sleep(0.05)
                continue
            assert ws.receive() == make(received), f"message {received} did not come back: {ws.close_error}"
            received += 1
            self._right += 1
        ws.close()

    def idle(self, ws: Any) -> None:
        """Only wait; at the end, close."""
        while not self._over and ws.state == "open":
            try:
                ws.receive(0.1)
            except TimeoutError:
                pass
        ws.close()

    def receive(self, ws: Any) -> None:
        ws.receive()

    def flood(self, ws: Any) -> None:
        try:
            app.push(ws)
        except wsdriver.ConnectionClosed:
            pass

    def hoard(self, ws: Any) -> None:
        app.hoard(ws)

    # --- what is asked ----------------------------------------------------------------------------------------------

    def states(self) -> list[str]:
        return [ws.state for ws in self._sockets]

    def finish(self) -> None:
        """Have all come to their end."""
        self._over = True

    def ends(self) -> dict[str, Any]:
        errors = [repr(each.exception) for each in self._running if each.exception is not None]
        return {**self._ends.tell(), "right": self._right, "errors": errors}


def answer(channel: Any, actor: Any) -> None:
    """Do what is asked for over the channel, and tell, until the other side is gone."""
    with channel.makefile("rw") as lines:
        for line in lines:
            name, *arguments = json.loads(line)
            try:
                told = getattr(actor, name)(*arguments)
            except Exception as error:
                told = {"error": repr(error)}
            lines.write(json.dumps(told) + "\n")
            lines.flush()


class Server:
    """A server of ``app.py``'s handlers."""

    def __init__(self, host: str, port: int, options: dict[str, Any]) -> None:
        self._server = wsdriver.WebSocketServer((host, port), app.handle, inbound_limit=65536, **options)
        self._server.start()
        self.port = self._server.server_port

    def states(self) -> list[str]:
        return [ws.state for ws in self._server.connections]

    def ends(self) -> dict[str, Any]:
        return app.ends.tell()


def main(role: str, descriptor: int, own: str, other: str, options: dict[str, Any]) -> None:
    plain = stdlib_socket.socket(fileno=descriptor)
    started = monotonic()
    if own:
        try:
            cable = enter_network(own, other)
        except OSError as error:
            plain.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
            return
        stdlib_socket.send_fds(plain, [b"{}\n"], [cable])
    channel = socket.socket(fileno=plain.detach())
    if role == "server":
        server = Server(own or "127.0.0.1", PORT if own else 0, options)
        channel.sendall(json.dumps({"port": server.port, "seconds": monotonic() - started}).encode() + b"\n")
        answer(channel, server)
    else:
        url = options.pop("url", None) or f"ws://{other}:{PORT}"
        channel.sendall(b"{}\n")
        answer(channel, Client(url, options))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], json.loads(sys.argv[5]))
