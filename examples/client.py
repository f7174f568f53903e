"""A blocking client: say something to a server, and print what it answers.

    python examples/client.py ws://127.0.0.1:8080/ hello world

With no words, each line of the standard input is a message. Through a proxy, and with an authority of one's own:

    python examples/client.py wss://localhost:8443/ hello --proxy http://user:password@proxy:3128 --trust authority.pem

``--proxy environment`` takes the one that http_proxy and its like name.
"""

from __future__ import annotations

import argparse
import sys

import wsdriver


def main() -> int:
    """Send each message, print each answer; returns the exit status."""
    parser = argparse.ArgumentParser(description="send messages to a WebSocket server and print the answers")
    parser.add_argument("url")
    parser.add_argument("messages", nargs="*")
    parser.add_argument("--proxy", metavar="URL", help="or 'environment'")
    parser.add_argument("--trust", metavar="FILE", help="authorities to trust instead of the system's")
    parser.add_argument("--header", metavar="NAME:VALUE", action="append", default=[])
    arguments = parser.parse_args()
    proxy = True if arguments.proxy == "environment" else arguments.proxy
    tls = {"root_cert_file": arguments.trust} if arguments.trust else None
    headers = [tuple(part.strip() for part in header.split(":", 1)) for header in arguments.header]
    messages = arguments.messages or (line.rstrip("\n") for line in sys.stdin)
    try:
        with wsdriver.connect(arguments.url, proxy=proxy, tls=tls, headers=headers, max_redirects=5) as ws:
            for message in messages:
                ws.send(message)
                answer = ws.receive(timeout=10)
                if answer is None:
                    print(f"closed: {ws.close_code} {ws.close_reason}", file=sys.stderr)
                    return 1
                print(answer)
    except (OSError, wsdriver.WebSocketError) as error:
        print(f"client.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
