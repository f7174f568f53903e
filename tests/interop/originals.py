"""The originals, `websocket-driver` and `faye-websocket` of Ruby and of npm: how to start them, and what they can do.

They know less than the peers of ``conversations.py``: no fragments of their own, for Ruby no event for a ping. The
`faye-websocket` of Ruby is a server inside another one: thin.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import wsdriver
from tests.interop.conversations import received
from tests.interop.peer import PATIENCE, Peer
from tests.support.peers import need_node, need_program, need_ruby

#: Around where the length of a frame takes more bytes, and 100 KB.
SIZES = [0, 1, 125, 126, 65535, 65536, 100_000]

#: Codes that any of them lets an application use.
ENDS = [(1000, ""), (1000, "bye"), (3000, "größer als 日本 😀"), (4999, "é" * 61)]

#: Every player: an original, and its role.
PLAYERS = [
    (f"{language} {library}", role)
    for language in ("ruby", "npm")
    for library in ("websocket-driver", "faye-websocket")
    for role in ("client", "server")
]

#: Of each Ruby peer: its program, and the libraries that it needs.
PROGRAMS = {
    "ruby websocket-driver": ("ruby_driver_peer.rb", ["websocket/driver"]),
    "ruby faye-websocket": ("ruby_faye_peer.rb", ["faye/websocket", "thin"]),
}

#: Starts a peer and joins it to us: ``start(name, role, deflate=False, **options)``, options as for ``Bench.join``.
Start = Callable[..., tuple[wsdriver.WebSocket, Peer, dict[str, Any]]]


def command_of(name: str, deflate: bool = False) -> tuple[list[str], dict[str, str]]:
    """Return how to start a peer, and its environment."""
    return _ruby(name) if name.startswith("ruby") else _node(name, deflate)


def _ruby(name: str) -> tuple[list[str], dict[str, str]]:
    script, libraries = PROGRAMS[name]
    return [need_ruby(*libraries), "-Eutf-8", script], dict(os.environ)


def _node(name: str, deflate: bool) -> tuple[list[str], dict[str, str]]:
    package = name.removeprefix("npm ")
    environment = need_node(package)
    if deflate:
        environment = {**need_node("permessage-deflate"), "PEER_DEFLATE": "1"}
    return [need_program("node"), "driver_peer.js", package], environment


def exchange(ws: wsdriver.WebSocket, peer: Peer, message: str | bytes) -> None:
    """Send a message to a peer that echoes."""
    ws.send(message)
    received(peer.event("message"), message)
    # Not compared in the assertion: a difference of many bytes takes pytest minutes to show.
    same = ws.receive(PATIENCE) == message
    assert same, f"{len(message)} came back changed"


def say(peer: Peer, message: str | bytes) -> None:
    """Let a peer send a message."""
    if isinstance(message, str):
        peer.do("send", kind="text", data=message)
    else:
        peer.do("send", kind="binary", data=message.decode("latin-1"))
