"""examples/chat.py with plain clients: what it does when other servers hold the same name, or fall silent.

What another server says is put on the channel by hand: no two of them are ever at odds at the moment that a test wants.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.pywsgi import WSGIServer

import wsdriver
from examples import chat as example

PATIENCE = 20  # seconds that anything may take before a test fails
FIRST = 0.0  # seconds: somebody who has been here for longer than anybody
LATER = time.time() + 3600


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The example in this process, with channels and a room of its own."""
    monkeypatch.setattr(example, "messages", wsdriver.Channel(f"chat {time.time()}", url="", history=example.HISTORY))
    monkeypatch.setattr(example, "presence", wsdriver.Channel(f"presence {time.time()}", url=""))
    monkeypatch.setattr(example, "ANSWERS", 0.05)
    monkeypatch.setattr(example, "REPORT", 0.05)
    monkeypatch.setattr(example, "room", example.Room())
    server = WSGIServer(("127.0.0.1", 0), example.app, handler_class=wsdriver.WebSocketHandler, log=None)
    server.start()
    try:
        with gevent.Timeout(3 * PATIENCE):
            yield f"ws://127.0.0.1:{server.server_port}/chat"
    finally:
        server.stop(timeout=1)


class Client:
    """A page without a browser, which has joined."""

    def __init__(self, url: str, name: str, key: str = "") -> None:
        self.ws: Any = wsdriver.connect(url)
        self.ws.send(json.dumps({"type": "join", "name": name, "key": key}))
        self.welcome = self.until("welcome")

    def until(self, kind: str) -> dict[str, Any]:
        """Return the next message, which has to be of this kind."""
        message: dict[str, Any] = json.loads(self.ws.receive(PATIENCE))
        assert message["type"] == kind, message
        return message


def report(server: str, *members: tuple[str, str, float]) -> None:
    """Say what another server would."""
    example.presence.publish(json.dumps({"server": server, "members": members, "asks": False}))


def test_members_of_other_servers_come_and_go(url: str) -> None:
    ada = Client(url, "Ada")
    assert ada.welcome["members"] == ["Ada"]
    report("x", ("Grace", "k", LATER))
    assert ada.until("joined")["name"] == "Grace"
    report("x", ("Grace", "k", LATER))  # nothing new
    report("x", ("Grace", "k", LATER), ("Katherine", "k", LATER))
    assert ada.until("joined")["name"] == "Katherine"
    report("x", ("Katherine", "k", LATER))
    assert ada.until("left")["name"] == "Grace"
    assert Client(url, "Dorothy").welcome["members"] == ["Ada", "Dorothy", "Katherine"]


def test_server_that_asks_is_told_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "REPORT", 3600)
    Client(url, "Ada", "k")
    with example.presence.subscribe() as heard:
        example.presence.publish(json.dumps({"server": "x", "members": [], "asks": True}))
        assert json.loads(heard.receive(PATIENCE))["server"] == "x"
        answer = json.loads(heard.receive(PATIENCE))
    assert [(name, key) for name, key, _ in answer["members"]] == [("Ada", "k")]


def test_server_that_falls_silent_is_gone_and_its_members_with_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "SILENCE", 0.3)
    ada = Client(url, "Ada")
    report("x", ("Grace", "k", LATER))
    assert ada.until("joined")["name"] == "Grace"
    assert ada.until("left")["name"] == "Grace"


def test_name_taken_twice_at_a_time_stays_with_who_was_first(url: str) -> None:
    ada = Client(url, "Ada", "mine")
    report("x", ("ADA", "theirs", LATER))  # they will give way
    ada.ws.send(json.dumps({"type": "say", "text": "Still here"}))
    assert ada.until("joined")["name"] == "ADA"
    assert ada.until("message")["text"] == "Still here"

    report("x", ("Ada", "theirs", FIRST))
    assert ada.until("error")["code"] == "name-in-use"
    assert ada.until("left")["name"] == "ADA"
    ada.ws.send(json.dumps({"type": "say", "text": "And now?"}))
    assert ada.until("error")["code"] == "not-joined"
    ada.ws.send(json.dumps({"type": "join", "name": "Countess"}))
    assert ada.until("welcome")["members"] == ["Ada", "Countess"]


def test_page_that_came_back_on_another_server_is_let_go_here(url: str) -> None:
    ada = Client(url, "Ada", "k")
    grace = Client(url, "Grace")
    assert ada.until("joined")["name"] == "Grace"
    report("x", ("Ada", "k", LATER))
    assert ada.ws.receive(PATIENCE) is None
    assert ada.ws.close_code == example.REPLACED
    # ... and comes back here, though the clock of the other server is an hour ahead. Nobody else notices any of it.
    again = Client(url, "Ada", "k")
    assert again.welcome["members"] == ["Ada", "Grace"]
    again.ws.send(json.dumps({"type": "say", "text": "Back"}))
    assert grace.until("message")["text"] == "Back"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1.evil.example"]
)
def test_page_of_another_site_is_refused(url: str, origin: str) -> None:
    with pytest.raises(wsdriver.HandshakeError) as raised:
        wsdriver.connect(url, headers={"Origin": origin, "Cookie": "session=of-the-victim"})
    assert raised.value.status == 403
    assert b"is not allowed here" in raised.value.body


def test_own_page_is_let_in(url: str) -> None:
    with wsdriver.connect(url, headers={"Origin": url.replace("ws:", "http:").removesuffix("/chat")}) as ws:
        ws.send("{}")
        assert json.loads(ws.receive(PATIENCE))["type"] == "error"
