"""A blocking client: say something to a server, and print what it answers.

    python examples/client.py ws://127.0.0.1:8080/ hello world

With no words, each line of the standard input is a message.
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
    arguments = parser.parse_args()
    messages = arguments.messages or (line.rstrip("\n") for line in sys.stdin)
    try:
        with wsdriver.connect(arguments.url) as ws:
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
