"""The servers of em_websocket.rb on wsdriver: they tell the same, and obey the same orders.

python -m tests.interop.peers.em_websocket_twin <file of key and certificates, in PEM>
"""

from __future__ import annotations

import hashlib
import json
import logging
import signal
import sys
from typing import Any

import gevent

import wsdriver


def report(peer: int, event: str, *details: object) -> None:
    print(json.dumps([peer, event, *details]), flush=True)


def to_hex(data: bytes) -> str:
    return data.hex() if len(data) <= 200 else f"{len(data)} bytes {hashlib.sha1(data).hexdigest()[:8]}"


class Server(wsdriver.WebSocketServer):
    """Tells also what no listener hears: that a connection is over, even one that never opened."""

    def handle(self, sock: Any, address: Any) -> None:
        try:
            super().handle(sock, address)
        finally:
            report(address[1], "gone")

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> None:
        try:
            super().wrap_socket_and_handle(client_socket, address)
        finally:
            report(address[1], "gone")


def facts(ws: wsdriver.WebSocket, max_length: int) -> dict[str, Any]:
    handshake = ws.handshake
    assert ws.remote_address is not None
    return {
        "path": handshake.path,
        "query_string": handshake.query_string,
        "query": handshake.query,
        "origin": handshake.origin,
        "headers": {name.lower(): value for name, value in handshake.headers.items()},
        "secure": handshake.secure,
        "protocol_version": handshake.protocol_version,
        "pingable": ws.pingable,
        "supports_close_codes": ws.supports_close_codes,
        "state": ws.state,
        "max_length": max_length,
        "remote_host": ws.remote_address[0],
    }


def kind(error: BaseException) -> str:
    if isinstance(error, wsdriver.ProtocolError):
        return str(error.code)
    if isinstance(error, wsdriver.HandshakeError):
        return "handshake"
    return "websocket" if isinstance(error, wsdriver.WebSocketError) else "application"


def obey(ws: wsdriver.WebSocket, peer: int, order: str) -> None:
    verb, first, rest = [*order.split(" ", 2), "", ""][:3]
    if verb == "/ping":
        report(peer, "pinged", ws.ping(first))
    elif verb == "/pong":
        report(peer, "ponged", ws.pong(first))
    elif verb == "/close":
        ws.close(*([int(first), rest] if first else []))
    elif verb == "/drop":
        ws.terminate()
    elif verb == "/text":
        ws.send("é" * int(first))
    elif verb == "/binary":
        ws.send(b"\xff" * int(first))
    elif verb == "/limit":
        ws.max_length = int(first)
        ws.send("limited")
    elif verb == "/state":
        gevent.spawn(ws.close)
        gevent.sleep(0)
        report(peer, "state", ws.state)
    elif verb == "/late":
        gevent.spawn(ws.close, 3001, "first")
        gevent.sleep(0)
        try:
            ws.send("late")
        except wsdriver.ConnectionClosed:
            report(peer, "refused")
    elif verb == "/raise":
        raise RuntimeError("as ordered")


def handler(ws: wsdriver.WebSocket) -> None:
    assert ws.remote_address is not None
    peer = ws.remote_address[1]

    @ws.on("open")
    def on_open(event: Any) -> None:
        report(peer, "open", facts(ws, ws.options.max_length))
        path = ws.handshake.path
        if path == "/open/send":
            ws.send("welcome")
        elif path == "/open/ping":
            ws.ping("welcome")
        elif path == "/open/close":
            ws.close(3001, "no")
        elif path == "/open/raise":
            raise RuntimeError("as asked")

    @ws.on("message")
    def on_message(event: Any) -> None:
        data = event.data
        if isinstance(data, str):
            report(peer, "message", "text", to_hex(data.encode()))
            if data.startswith("/"):
                obey(ws, peer, data)
                return
        else:
            report(peer, "message", "binary", to_hex(data))
        ws.send(data)

    ws.on("ping", lambda event: report(peer, "ping", to_hex(event.data)))
    ws.on("pong", lambda event: report(peer, "pong", to_hex(event.data)))
    ws.on("error", lambda error: report(peer, "error", kind(error)))

    @ws.on("close")
    def on_close(event: Any) -> None:
        report(peer, "close", event.code, to_hex(event.reason.encode()), event.was_clean)
        if ws.handshake.path == "/close/raise":
            raise RuntimeError("as asked")


def listen(**options: Any) -> Server:
    server = Server(("127.0.0.1", 0), handler, flash_policy=True, **options)
    server.start()
    return server


def main() -> None:
    logging.basicConfig(level=logging.DEBUG)
    servers = {
        "plain": listen(),
        "health": listen(healthcheck="/healthcheck"),
        "closing": listen(close_timeout=0.15),
        "limit": listen(max_length=1000),
        "debug": listen(debug=True),
        "proxy": listen(secure_proxy=True),
        "secure": listen(certfile=sys.argv[1]),
        "started": listen(),
    }
    stopped = gevent.event.Event()
    gevent.signal_handler(signal.SIGTERM, stopped.set)
    print(json.dumps({name: server.server_port for name, server in servers.items()}), flush=True)
    stopped.wait()
    for server in servers.values():
        server.stop()


if __name__ == "__main__":
    main()
