"""What every server of the cluster serves: a channel to join, in all the ways there are.

    gunicorn -k wsdriver.worker tests.channels.app:app
    python -m tests.channels.app '{"port": 8000}'

Which channel it is, is in the query: its name, and how long its history is. Redis is where CHANNEL_URL says.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import wsdriver
from tests.channels.messages import messages

__all__ = ["JOINED", "STARTING", "app"]

#: What the program prints.
STARTING = "about to serve"

#: What a client is told once it is a member.
JOINED = "joined"

logging.basicConfig(level=logging.INFO, format="[%(levelname)s] %(process)d %(name)s: %(message)s")


def channel_of(query: Mapping[str, str]) -> wsdriver.Channel:
    """Return the channel that a query names."""
    return named(query["channel"], int(query["history"]))


@cache
def named(name: str, history: int) -> wsdriver.Channel:
    """Return a channel, the same one for all of this process."""
    return wsdriver.Channel(name, history=history, backlog=20_000)


def with_id(message: str | bytes, position: str) -> str:
    """Return what clients get that want to come back."""
    assert isinstance(message, str)
    return f"{position} {message}"


# --- WebSockets -----------------------------------------------------------------------------------------------------


def join(ws: wsdriver.WebSocket) -> None:
    """Be a member, and publish what the client sends."""
    channel = channel_of(ws.handshake.query)
    channel.join(ws)
    ws.send(JOINED)
    for message in ws:
        channel.publish(message)


def rejoin(ws: wsdriver.WebSocket) -> None:
    """Be a member from where the client has been before, and tell it where it is."""
    channel_of(ws.handshake.query).join(ws, since=ws.handshake.query["since"], encode=with_id)
    for _ in ws:
        pass


def publish(ws: wsdriver.WebSocket) -> None:
    """Publish what the query orders, without being a member, and tell the client when all is done."""
    channel = channel_of(ws.handshake.query)
    ws.accept()
    for message in messages(ws.handshake.query):
        channel.publish(message)
    ws.send("done")


ROUTES: dict[str, Callable[[wsdriver.WebSocket], None]] = {"/join": join, "/rejoin": rejoin, "/publish": publish}


# --- WSGI -----------------------------------------------------------------------------------------------------------


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The same, and an event stream for who asks for one."""
    if wsdriver.is_eventsource(environ):
        es = wsdriver.EventSource(environ)
        channel_of(dict(parse_qsl(environ["QUERY_STRING"]))).join(es)
        es.run()
        return es.wsgi_response()
    ws = wsdriver.WebSocket(environ)
    ROUTES[environ["PATH_INFO"]](ws)
    return ws.wsgi_response()


def main() -> None:
    port = json.loads(sys.argv[1])["port"]
    print(STARTING, flush=True)
    wsdriver.serve(ROUTES, "127.0.0.1", port)


if __name__ == "__main__":
    main()
