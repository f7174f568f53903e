"""Ping: what clients ping is told, and how long a ping of ours takes to each of them and back.

python examples/ping.py --port 8080

Connect with any WebSocket client: browsers answer pings by themselves. Each is pinged once a second, told how long the
last one took, and everything is printed here, too.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import gevent

import wsdriver

INTERVAL = 1.0  # seconds between two pings


def handler(ws: wsdriver.WebSocket) -> None:
    """Listen to what there is, and ping until the end."""
    name = "{}:{}".format(*ws.remote_address) if ws.remote_address else "somebody"
    ws.on("open", lambda event: print(f"{name} is here; pings: {'yes' if ws.pingable else 'no'}", flush=True))
    ws.on("ping", lambda event: print(f"{name} sent a ping: {event.data!r}", flush=True))  # the pong has gone out
    ws.on("pong", lambda event: print(f"{name} sent a pong: {event.data!r}", flush=True))
    ws.on("error", lambda error: print(f"{name} failed: {error}", flush=True))
    ws.on("close", lambda event: print(f"{name} is gone: {event.code} {event.reason}", flush=True))
    ws.accept()
    pinging = gevent.spawn(ping, ws, name)
    try:
        ws.run()
    finally:
        pinging.kill()


def ping(ws: wsdriver.WebSocket, name: str) -> None:
    """Ping again and again; whoever speaks a version of the protocol that has no pings is left alone."""

    def answered(sent: float) -> None:
        took = f"{1000 * (perf_counter() - sent):.2f} ms"
        print(f"{name} is {took} away", flush=True)
        try:
            ws.send(took)
        except wsdriver.ConnectionClosed:
            pass  # its pong was among its last words

    try:
        while True:
            sent = perf_counter()
            if not ws.ping("hello", lambda sent=sent: answered(sent)):  # type: ignore[misc]
                return
            gevent.sleep(INTERVAL)
    except wsdriver.ConnectionClosed:
        pass


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="a WebSocket server that pings")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    print(f"pinging on ws://{arguments.host}:{arguments.port}/", flush=True)
    wsdriver.serve(handler, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
