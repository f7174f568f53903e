"""The option of WebSocketServer."""

from __future__ import annotations

import json
from typing import Any

import gevent.socket
import pytest

import wsdriver
from tests.support.serving import serving

TOKEN = "a-long-secret-of-some-length"


def get(port: int, path: str, extra: str = "", method: str = "GET") -> tuple[int, str, str]:
    """Return status, head and body of an answer."""
    with gevent.socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\n{extra}\r\n".encode())
        answer = b""
        while more := sock.recv(65536):
            answer += more
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def test_server_shows_itself_and_serves_on() -> None:
    with serving(monitor="/_wsdriver") as server, wsdriver.connect(f"{server.url}chat?token=secret") as ws:
        ws.send("hello")
        ws.receive(20)
        status, head, body = get(server.server_port, "/_wsdriver")
        assert (status, "wsdriver monitor" in body, "Content-Security-Policy" in head) == (200, True, True)
        assert get(server.server_port, "/_wsdriver", method="HEAD")[2] == ""
        figures = json.loads(get(server.server_port, "/_wsdriver/json?x=y")[2])
        assert (figures["open"], figures["total"], figures["messages_sent"]) == (1, 1, 1)
        assert [(peer["path"], peer["address"]) for peer in figures["slowest"]] == [("/chat", "127.0.0.1")]
        assert get(server.server_port, "/_wsdriver/events", "Accept: text/event-stream\r\n")[0] == 406
        assert get(server.server_port, "/_wsdriver/json", "X-Forwarded-For: 192.0.2.1\r\n")[0] == 403
        assert len(server.connections) == 1


def test_token_is_asked_for() -> None:
    with serving(monitor={"path": "/look", "token": TOKEN}) as server:
        assert get(server.server_port, "/look/json")[0] == 401
        assert get(server.server_port, "/look/json", f"Authorization: Bearer {TOKEN}\r\n")[0] == 200


def test_server_shows_nothing_unless_asked() -> None:
    with serving() as server:
        assert get(server.server_port, "/_wsdriver")[0] in (400, 426)


@pytest.mark.parametrize("given", [True, "nowhere", {"path": "/x", "tokn": "y"}, {"token": "short"}, 7])
def test_wrong_option_is_refused_at_the_call(given: Any) -> None:
    with pytest.raises(wsdriver.ConfigurationError):
        wsdriver.WebSocketServer(("127.0.0.1", 0), print, monitor=given)
