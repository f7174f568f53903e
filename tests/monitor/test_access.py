"""Who may look."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import pytest

import wsdriver

from .asking import ask

TOKEN = "a-long-secret-of-some-length"


def page(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"the application"]


PATHS = ["/_wsdriver", "/_wsdriver/", "/_wsdriver/json", "/_wsdriver/metrics", "/_wsdriver/events", "/_wsdriver/x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "stranger",
    [
        {"REMOTE_ADDR": "192.0.2.1"},
        {"REMOTE_ADDR": "::ffff:192.0.2.1"},
        {"REMOTE_ADDR": ""},  # a Unix socket: whoever is behind it is a proxy
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_X_FORWARDED_PROTO": "https"},
        {"HTTP_FORWARDED": "for=127.0.0.1"},
        {"HTTP_X_REAL_IP": "127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"HTTP_HOST": "rebound.example"},
        {"HTTP_HOST": "localhost.example"},
        {"HTTP_HOST": ""},
        {"SERVER_PROTOCOL": "HTTP/1.0"},
        {"HTTP_AUTHORIZATION": f"Bearer {TOKEN}"} | {"REMOTE_ADDR": "192.0.2.1"},
    ],
)
def test_stranger_is_turned_away(path: str, stranger: dict[str, str]) -> None:
    answer = ask(wsdriver.monitor(page), path, **stranger)
    assert (answer.status, "for this machine only" in answer.body) == (403, True)


@pytest.mark.parametrize(
    "local",
    [
        {},
        {"REMOTE_ADDR": "::1", "HTTP_HOST": "[::1]:8000"},
        {"REMOTE_ADDR": "::ffff:127.0.0.1", "HTTP_HOST": "127.0.0.1"},
        {"REMOTE_ADDR": "127.0.0.2", "HTTP_HOST": "app.localhost"},
    ],
)
def test_this_machine_may_look(local: dict[str, str]) -> None:
    assert ask(wsdriver.monitor(page), **local).status == 200


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer  {TOKEN}", basic("", TOKEN), basic("ada", TOKEN)])
def test_token_lets_in_from_anywhere(given: str) -> None:
    app = wsdriver.monitor(page, token=TOKEN)
    answer = ask(app, REMOTE_ADDR="192.0.2.1", HTTP_HOST="example.com", HTTP_AUTHORIZATION=given)
    assert answer.status == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        "Bearer \xe4",
        f"Basic {TOKEN}",
        "Basic \xe4",
        basic(TOKEN, ""),
        basic("ada", TOKEN + "x"),
        f"Digest {TOKEN}",
        TOKEN,
    ],
)
def test_wrong_token_is_turned_away_even_on_this_machine(given: str) -> None:
    answer = ask(wsdriver.monitor(page, token=TOKEN), HTTP_AUTHORIZATION=given)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")


def test_function_judges_alone() -> None:
    app = wsdriver.monitor(page, allow=lambda environ: environ["REMOTE_ADDR"] == "192.0.2.1")
    assert ask(app, REMOTE_ADDR="192.0.2.1", HTTP_HOST="example.com").status == 200
    assert ask(app).status == 403


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"token": "short"}, "16 characters"),
        ({"token": ""}, "16 characters"),
        ({"token": b"bytes-of-some-length"}, "16 characters"),
        ({"token": TOKEN, "allow": bool}, "exclude each other"),
        ({"allow": True}, "allow must be a function"),
        ({"path": "monitor"}, "path must be"),
        ({"path": "/"}, "path must be"),
        ({"path": "/a?b"}, "path must be"),
        ({"app": None}, "app must be a WSGI application"),
    ],
)
def test_wrong_argument_is_refused_at_the_call(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(wsdriver.ConfigurationError, match=sentence):
        wsdriver.monitor(**{"app": page, **arguments})
