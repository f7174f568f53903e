"""The originals at the other end: `websocket-driver` and `faye-websocket`, of Ruby and of npm."""

from __future__ import annotations

from typing import Any

import pytest
from gevent.event import AsyncResult

import wsdriver
from tests.interop.conversations import WORDS, make, received
from tests.interop.originals import ENDS, PLAYERS, SIZES, Start, exchange, say
from tests.interop.peer import PATIENCE

everybody = pytest.mark.parametrize(("name", "role"), PLAYERS)
who_deflates = pytest.mark.parametrize(("name", "role"), [player for player in PLAYERS if player[0].startswith("npm")])


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
