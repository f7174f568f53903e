"""A table of path patterns to handlers."""

from __future__ import annotations

from typing import Any

import pytest

import wsdriver
from tests.support.serving import echo, serving
from wsdriver.green.routes import Routes


def named(name: str) -> Any:
    """Return a handler that says its name, and what it was given."""

    def handler(ws: wsdriver.WebSocket, **values: str) -> None:
        ws.send(repr((name, values)))

    return handler


TABLE = {
    "/": named("root"),
    "/chat": named("chat"),
    "/chat/{room}": named("room"),
    "/chat/{room}/{user}/": named("user"),
    "/chat/staff/{late}": named("staff"),
    "/files/{name:path}": named("files"),
    "/grüße": named("umlaut"),
}

MATCHES: list[tuple[str, str, dict[str, str]]] = [
    ("/", "root", {}),
    ("/?room=1", "root", {}),
    ("/chat", "chat", {}),
    ("/%63hat", "chat", {}),
    ("/chat/lobby", "room", {"room": "lobby"}),
    ("/chat/lobby?x=/a/b", "room", {"room": "lobby"}),
    ("/chat/a%2Fb", "room", {"room": "a/b"}),
    ("/chat/caf%C3%A9%20+", "room", {"room": "café +"}),
    ("/chat/..", "room", {"room": ".."}),
    ("/chat/a/b/", "user", {"room": "a", "user": "b"}),
    ("/chat/staff/anna", "staff", {"late": "anna"}),
    ("/files/", "files", {"name": ""}),
    ("/files/a/b%2Fc//d", "files", {"name": "a/b/c//d"}),
    ("/gr%C3%BC%C3%9Fe", "umlaut", {}),
    ("http://host:1/chat/lobby?x", "room", {"room": "lobby"}),
]

NOWHERE = ["/Chat", "/chat/", "/chat//", "/chat/a/b", "/chat/a//", "/files", "/nothing", "//", "/chat/%FF", "/chats"]


@pytest.mark.parametrize(("target", "name", "values"), MATCHES)
def test_path_that_matches_goes_to_its_handler(target: str, name: str, values: dict[str, str]) -> None:
    found = Routes(TABLE).find(target)
    assert found is not None
    assert found == (next(h for p, h in TABLE.items() if h is found[0]), values)
    with serving({**TABLE}) as server:
        url = server.url + target[1:] if target.startswith("/") else server.url + target.split("/", 3)[3]
        with wsdriver.connect(url) as ws:
            assert ws.receive(5) == repr((name, values))


@pytest.mark.parametrize("target", NOWHERE)
def test_path_that_nothing_matches_is_404(target: str) -> None:
    assert Routes(TABLE).find(target) is None


@pytest.mark.parametrize("target", ["nothing", "chat/%FF", "Chat"])
def test_server_answers_404_where_nothing_matches(target: str) -> None:
    with serving(TABLE) as server:
        with pytest.raises(wsdriver.HandshakeError) as caught:
            wsdriver.connect(server.url + target)
        assert caught.value.status == 404


def test_first_pattern_that_matches_is_taken() -> None:
    with serving({"/{any}": named("any"), "/a": named("a")}) as server, wsdriver.connect(server.url + "a") as ws:
        assert ws.receive(5) == repr(("any", {"any": "a"}))


def test_path_that_matches_all_is_the_last_resort() -> None:
    with serving({"/a": named("a"), "/{rest:path}": named("rest")}) as server:
        with wsdriver.connect(server.url + "b/c") as ws:
            assert ws.receive(5) == repr(("rest", {"rest": "b/c"}))
        with wsdriver.connect(server.url) as ws:
            assert ws.receive(5) == repr(("rest", {"rest": ""}))


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "chat",
        None,
        1,
        "/{}",
        "/{a",
        "/a}",
        "/{a}b",
        "/{a-b}",
        "/{a}/{a}",
        "/{a:path}/b",
        "/{a:int}",
        "/{a:}",
        "/{{a}}",
    ],
)
def test_pattern_that_is_none_raises(pattern: Any) -> None:
    with pytest.raises(wsdriver.ConfigurationError, match="route"):
        wsdriver.WebSocketServer(("127.0.0.1", 0), {pattern: echo})


def test_table_without_handlers_raises() -> None:
    with pytest.raises(wsdriver.ConfigurationError, match="empty"):
        wsdriver.WebSocketServer(("127.0.0.1", 0), {})
    with pytest.raises(wsdriver.ConfigurationError, match="'/a' cannot be called"):
        wsdriver.WebSocketServer(("127.0.0.1", 0), {"/a": "handler"})  # type: ignore[dict-item]
    with pytest.raises(wsdriver.ConfigurationError, match="table"):
        wsdriver.WebSocketServer(("127.0.0.1", 0), "handler")  # type: ignore[arg-type]
