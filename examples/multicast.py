"""Multicast: what one says, all get.

python examples/multicast.py --port 8080

On many processes and machines: CHANNEL_URL=redis://127.0.0.1/ python examples/multicast.py --port 8081, and so on.
"""

from __future__ import annotations

import argparse
import secrets

import wsdriver

channel = wsdriver.Channel("multicast")


def handler(ws: wsdriver.WebSocket) -> None:
    """Pass on what one client says, under a name that nobody else has."""
    name = secrets.token_hex(3)
    channel.join(ws)  # it leaves by itself
    channel.publish(f"{name} joined")
    try:
        for message in ws:
            channel.publish(f"<{name}> {message}" if isinstance(message, str) else message)
    finally:
        channel.publish(f"{name} left")


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description="a WebSocket server that tells everyone what everyone says")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    arguments = parser.parse_args()
    print(f"multicast on ws://{arguments.host}:{arguments.port}/", flush=True)
    wsdriver.serve(handler, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
