"""The originals at the other end: `websocket-driver` and `faye-websocket`, of Ruby and of npm.

They know less than the peers of ``conversations.py``: no fragments of their own, and for Ruby no event for a ping.
`faye-websocket` for Ruby is a client here: as a server it lives inside other Ruby servers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gevent.event import AsyncResult
from gevent.subprocess import run

import wsdriver
from tests.interop.conversations import WORDS, make, received
from tests.interop.peer import PATIENCE, Bench
from tests.support.peers import missing, need_node, need_program

#: Around where the length of a frame takes more bytes, and 100 KB.
SIZES = [0, 1, 125, 126, 65535, 65536, 100_000]

#: Codes that any of them lets an application use.
ENDS = [(1000, ""), (1000, "bye"), (3000, "größer als 日本 😀"), (4999, "é" * 61)]

PLAYERS = [
    ("ruby websocket-driver", "client"),
    ("ruby websocket-driver", "server"),
    ("ruby faye-websocket", "client"),
    ("npm websocket-driver", "client"),
    ("npm websocket-driver", "server"),
    ("npm faye-websocket", "client"),
    ("npm faye-websocket", "server"),
]

#: How to start a peer.
PROGRAMS = {
    "ruby websocket-driver": ("ruby_driver_peer.rb", "websocket/driver", "ruby-websocket-driver"),
    "ruby faye-websocket": ("ruby_faye_peer.rb", "faye/websocket", "ruby-faye-websocket"),
}

Start = Callable[..., tuple[wsdriver.WebSocket, Any, dict[str, Any]]]


def ruby(name: str) -> tuple[list[str], dict[str, str]]:
    """Return how to start a Ruby peer, and its environment."""
    program = need_program("ruby")
    script, library, package = PROGRAMS[name]
    if run([program, "-e", f"require {library!r}"], capture_output=True, check=False).returncode:
        missing(f"the Ruby library {library} (Debian: {package})")
    return [program, "-Eutf-8", script], dict(os.environ)


def node(name: str, deflate: bool) -> tuple[list[str], dict[str, str]]:
    """Return how to start an npm peer, and its environment."""
    package = name.removeprefix("npm ")
    environment = need_node(package)
    if deflate:
        environment = {**need_node("permessage-deflate"), "PEER_DEFLATE": "1"}
    return [need_program("node"), "driver_peer.js", package], environment


@pytest.fixture
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start a peer and join it to us."""
    with ExitStack() as stack:

        def join(name: str, role: str, *, deflate: bool = False, **options: Any) -> Any:
            command, environment = ruby(name) if name.startswith("ruby") else node(name, deflate)
            return Bench(command, environment, tmp_path, stack).join(role, **options)

        yield join


everybody = pytest.mark.parametrize(("name", "role"), PLAYERS)
who_deflates = pytest.mark.parametrize(("name", "role"), [player for player in PLAYERS if player[0].startswith("npm")])


def exchange(ws: wsdriver.WebSocket, peer: Any, message: str | bytes) -> None:
    """Send a message to a peer that echoes."""
    ws.send(message)
    received(peer.event("message"), message)
    # Not compared in the assertion: a difference of many bytes takes pytest minutes to show.
    same = ws.receive(PATIENCE) == message
    assert same, f"{len(message)} came back changed"


def say(peer: Any, message: str | bytes) -> None:
    """Let a peer send a message."""
    if isinstance(message, str):
        peer.do("send", kind="text", data=message)
    else:
        peer.do("send", kind="binary", data=message.decode("latin-1"))


@everybody
@pytest.mark.parametrize("kind", ["text", "binary"])
def test_messages_of_every_size_come_back(start: Start, name: str, role: str, kind: str) -> None:
    ws, peer, _ = start(name, role, echo=True)
    assert ws.version == "hybi-13"
    for size in SIZES:
        exchange(ws, peer, make(kind, size))


@everybody
def test_messages_that_the_peer_begins_arrive(start: Start, name: str, role: str) -> None:
    ws, peer, _ = start(name, role)
    messages = [*WORDS, *(make(kind, size) for size in SIZES for kind in ("text", "binary"))]
    for message in messages:
        say(peer, message)
    for message in messages:
        same = ws.receive(PATIENCE) == message
        assert same, f"{len(message)} arrived changed"


@everybody
def test_text_of_any_script_comes_back(start: Start, name: str, role: str) -> None:
    ws, peer, _ = start(name, role, echo=True)
    for words in WORDS:
        exchange(ws, peer, words)


@everybody
def test_pings_are_answered_in_both_directions(start: Start, name: str, role: str) -> None:
    ws, peer, _ = start(name, role)
    for data in ("a ping", "é" * 62):
        peer.do("ping", data=data)
        assert peer.event("pong") == {"data": data}
    for data in ("", "our ping", "é" * 62):
        answered: Any = AsyncResult()
        ws.ping(data, answered.set)
        answered.get(timeout=PATIENCE)


@everybody
def test_a_subprotocol_is_agreed(start: Start, name: str, role: str) -> None:
    ws, _, opened = start(name, role, protocols=["chat.v2", "chat.v1"], peer_protocols=["chat.v1", "chat.v0"])
    assert opened["protocol"] == "chat.v1"
    assert ws.protocol == "chat.v1"


@everybody
def test_a_header_of_the_peer_arrives(start: Start, name: str, role: str) -> None:
    ws, _, _ = start(name, role, peer_headers={"X-Theirs": "their value"})
    headers = ws.handshake.headers if role == "client" else ws.headers  # type: ignore[attr-defined]
    assert headers["X-Theirs"] == "their value"


@everybody
@pytest.mark.parametrize(("code", "reason"), ENDS)
def test_a_close_of_the_peer_is_told_and_answered(start: Start, name: str, role: str, code: int, reason: str) -> None:
    ws, peer, _ = start(name, role)
    say(peer, "the last words")
    peer.do("close", code=code, reason=reason)
    assert ws.receive(PATIENCE) == "the last words"
    assert ws.receive(PATIENCE) is None
    assert (ws.close_code, ws.close_reason, ws.was_clean) == (code, reason, True)
    assert peer.event("close") == {"code": code, "reason": reason}


@everybody
@pytest.mark.parametrize(("code", "reason"), [*ENDS, (1011, "an accident")])
def test_our_close_is_told_and_answered(start: Start, name: str, role: str, code: int, reason: str) -> None:
    ws, peer, _ = start(name, role)
    ws.send("the last words")
    ws.close(code, reason)
    received(peer.event("message"), "the last words")
    assert peer.event("close") == {"code": code, "reason": reason}
    assert (ws.close_code, ws.close_reason, ws.was_clean) == (code, reason, True)


@everybody
def test_a_message_over_our_limit_ends_with_1009(start: Start, name: str, role: str) -> None:
    ws, peer, _ = start(name, role, max_length=1000)
    say(peer, "x" * 1000)
    assert ws.receive(PATIENCE) == "x" * 1000
    say(peer, "x" * 1001)
    assert ws.receive(PATIENCE) is None
    assert ws.close_code == 1009
    assert peer.event("close")["code"] == 1009


# --- permessage-deflate ---------------------------------------------------------------------------------------------


@who_deflates
@pytest.mark.parametrize(
    "options", [{}, {"no_context_takeover": True, "request_no_context_takeover": True}, {"max_window_bits": 9}]
)
def test_deflated_messages_come_back(start: Start, name: str, role: str, options: dict[str, Any]) -> None:
    ours = wsdriver.PermessageDeflate(**options)
    ws, peer, opened = start(name, role, deflate=True, echo=True, extensions=[ours])
    assert "permessage-deflate" in opened["headers"]["sec-websocket-extensions"]
    for kind in ("text", "binary"):
        for size in [*SIZES, 100_000]:
            exchange(ws, peer, make(kind, size))
    for words in WORDS:
        exchange(ws, peer, words)
    ws.close(4000, "deflated")
    assert peer.event("close") == {"code": 4000, "reason": "deflated"}
    assert ws.was_clean


@who_deflates
def test_only_one_end_that_can_deflate_is_no_obstacle(start: Start, name: str, role: str) -> None:
    ws, peer, _ = start(name, role, deflate=True, echo=True)
    exchange(ws, peer, make("text", 100_000))
    ws, peer, _ = start(name, role, echo=True, extensions=[wsdriver.PermessageDeflate()])
    exchange(ws, peer, make("text", 100_000))
