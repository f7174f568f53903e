"""wsdriver's own server over TLS: PORT CERTFILE KEYFILE."""

import sys

import wsdriver


def echo(ws: wsdriver.WebSocket) -> None:
    """Answer each message with itself."""
    for message in ws:
        ws.send(message)


port, certfile, keyfile = sys.argv[1:]
wsdriver.serve(echo, "127.0.0.1", int(port), certfile=certfile, keyfile=keyfile, max_length=0)
