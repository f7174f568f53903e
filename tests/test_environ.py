"""What a WSGI environ says, and the environ that is built from a head."""

from __future__ import annotations

import io
from typing import Any

import pytest

import wsdriver
from tests.support.driving import request, wsgi_environ
from wsdriver.environ import (
    build_environ,
    headers_of,
    is_eventsource,
    is_secure,
    is_websocket,
    url_of,
)
from wsdriver.http import Request, parse_request

RIGHT = {"REQUEST_METHOD": "GET", "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"HTTP_UPGRADE": "WebSocket"}, True),
        ({"HTTP_UPGRADE": " websocket "}, True),
        ({"HTTP_CONNECTION": "upgrade"}, True),
        ({"HTTP_CONNECTION": "keep-alive, Upgrade"}, True),
        ({"HTTP_CONNECTION": "keep-alive,UPGRADE"}, True),
        ({"HTTP_SEC_WEBSOCKET_KEY": "wrong"}, True),
        ({"REQUEST_METHOD": "POST"}, False),
        ({"REQUEST_METHOD": "get"}, False),
        ({"REQUEST_METHOD": None}, False),
        ({"HTTP_UPGRADE": None}, False),
        ({"HTTP_UPGRADE": ""}, False),
        ({"HTTP_UPGRADE": "h2c"}, False),
        ({"HTTP_UPGRADE": "websockets"}, False),
        ({"HTTP_CONNECTION": None}, False),
        ({"HTTP_CONNECTION": "close"}, False),
        ({"HTTP_CONNECTION": "upgraded"}, False),
        ({"HTTP_CONNECTION": "no upgrade"}, False),
    ],
)
def test_is_websocket_is_told_by_method_and_two_headers(changes: dict[str, str | None], expected: bool) -> None:
    environ = {name: value for name, value in {**RIGHT, **changes}.items() if value is not None}
    assert is_websocket(environ) is expected
    assert wsdriver.is_websocket is is_websocket


@pytest.mark.parametrize(
    ("method", "accept", "expected"),
    [
        ("GET", "text/event-stream", True),
        ("HEAD", "text/event-stream", True),
        ("GET", "TEXT/Event-Stream", True),
        ("GET", "text/html, text/event-stream;q=0.5", True),
        ("GET", "text/event-stream; charset=utf-8", True),
        ("GET", "*/*", False),
        ("GET", "text/*", False),
        ("GET", "text/event-streams", False),
        ("GET", "", False),
        ("GET", None, False),
        ("POST", "text/event-stream", False),
        (None, "text/event-stream", False),
    ],
)
def test_is_eventsource_is_told_by_method_and_accept(method: str | None, accept: str | None, expected: bool) -> None:
    environ = {"REQUEST_METHOD": method, "HTTP_ACCEPT": accept}
    assert is_eventsource({name: value for name, value in environ.items() if value is not None}) is expected
    assert wsdriver.is_eventsource is is_eventsource


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"wsgi.url_scheme": "http"}, False),
        ({"wsgi.url_scheme": "https"}, True),
        ({"HTTPS": "on"}, True),
        ({"HTTPS": "1"}, True),
        ({"HTTPS": "off"}, False),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, False),
    ],
)
def test_is_secure_is_what_the_server_says(environ: dict[str, str], expected: bool) -> None:
    assert is_secure(environ) is expected


def test_headers_of_returns_all_request_headers() -> None:
    environ = {
        "HTTP_HOST": "a",
        "HTTP_SEC_WEBSOCKET_KEY": "k",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "",
        "SERVER_NAME": "no header",
        "wsgi.input": io.BytesIO(),
    }
    assert dict(headers_of(environ)) == {"Host": "a", "Sec-Websocket-Key": "k", "Content-Type": "text/plain"}
    assert headers_of({**environ, "CONTENT_LENGTH": "5"})["content-length"] == "5"


BASE = {"HTTP_HOST": "example.com", "SCRIPT_NAME": "", "PATH_INFO": "/chat", "wsgi.url_scheme": "http"}


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "ws://example.com/chat"),
        ({"wsgi.url_scheme": "https"}, "wss://example.com/chat"),
        ({"HTTPS": "on"}, "wss://example.com/chat"),
        ({"QUERY_STRING": "x=1&y=2"}, "ws://example.com/chat?x=1&y=2"),
        ({"SCRIPT_NAME": "/app"}, "ws://example.com/app/chat"),
        ({"PATH_INFO": ""}, "ws://example.com/"),
        ({"HTTP_HOST": "example.com:8080"}, "ws://example.com:8080/chat"),
        ({"HTTP_HOST": "[::1]:8080"}, "ws://[::1]:8080/chat"),
        ({"HTTP_HOST": "", "SERVER_NAME": "srv", "SERVER_PORT": "80"}, "ws://srv/chat"),
        ({"HTTP_HOST": "", "SERVER_NAME": "srv", "SERVER_PORT": "81"}, "ws://srv:81/chat"),
        ({"HTTP_HOST": "", "SERVER_NAME": "srv", "SERVER_PORT": 443, "HTTPS": "on"}, "wss://srv/chat"),
        ({"HTTP_HOST": "", "SERVER_NAME": "srv", "SERVER_PORT": "80", "HTTPS": "on"}, "wss://srv:80/chat"),
        ({"HTTP_HOST": ""}, "ws://localhost/chat"),
        ({"RAW_URI": "/caf%C3%A9?x"}, "ws://example.com/caf%C3%A9?x"),
        ({"REQUEST_URI": "/raw?x"}, "ws://example.com/raw?x"),
        ({"RAW_URI": "http://example.com/chat"}, "ws://example.com/chat"),
        ({"RAW_URI": "*"}, "ws://example.com/chat"),
    ],
)
def test_url_of_is_what_the_client_asked_for(changes: dict[str, Any], url: str) -> None:
    assert url_of({**BASE, **changes}) == url


def test_url_of_with_secure_given_is_as_told() -> None:
    assert url_of(BASE, True) == "wss://example.com/chat"
    assert url_of({**BASE, "HTTPS": "on"}, False) == "ws://example.com/chat"


# --- building --------------------------------------------------------------------------------------------------------


def build(head: bytes, body: bytes = b"", base: dict[str, Any] | None = None) -> dict[str, Any]:
    return build_environ(parse_request(head), body, base or {})


def test_build_environ_has_all_that_pep_3333_wants() -> None:
    environ = build(request("/chat?x=1"), b"body")
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["PATH_INFO"] == "/chat"
    assert environ["QUERY_STRING"] == "x=1"
    assert environ["SERVER_NAME"] == "localhost"
    assert environ["SERVER_PORT"] == "80"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.input"].read() == b"body"
    assert hasattr(environ["wsgi.errors"], "write")
    for name in ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"):
        assert type(environ[name]) is bool
    assert all(type(value) is str for name, value in environ.items() if "." not in name)
    assert environ["RAW_URI"] == "/chat?x=1"


def test_build_environ_has_the_headers_of_a_wsgi_server() -> None:
    head = request("/", "Cookie: a=b\r\nCookie: c=d\r\nX-A: 1\r\nX-A: 2\r\nOrigin: http://a\r\n")
    environ = build(head)
    expected = {name: value for name, value in wsgi_environ(head).items() if name.startswith("HTTP_")}
    expected |= {"HTTP_COOKIE": "a=b; c=d", "HTTP_X_A": "1, 2"}
    assert {name: value for name, value in environ.items() if name.startswith("HTTP_")} == expected


def test_build_environ_has_content_type_and_length_without_a_prefix() -> None:
    environ = build(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "5")
    assert "HTTP_CONTENT_TYPE" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ
    assert "CONTENT_LENGTH" not in build(request())


@pytest.mark.parametrize("name", ["X_Forwarded_For", "Remote_User", "Sec_WebSocket_Key", "Content_Length"])
def test_build_environ_drops_names_with_an_underscore(name: str) -> None:
    """They would be taken for those with a dash, which a proxy may have removed or set."""
    environ = build(request(extra=f"{name}: evil\r\n"))
    assert "evil" not in environ.values()


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b", "/a/b", ""),
        ("/a%20b%2Fc", "/a b/c", ""),
        ("/caf%C3%A9", "/caf\xc3\xa9", ""),
        ("/%zz", "/%zz", ""),
        ("/?", "/", ""),
        ("/?a=%20", "/", "a=%20"),
        ("/a?b?c", "/a", "b?c"),
        ("//double", "//double", ""),
        ("http://localhost", "/", ""),
        ("http://localhost/", "/", ""),
        ("http://localhost/a/b?x=1", "/a/b", "x=1"),
        ("http://localhost?x=1", "/", "x=1"),
        ("/?next=http://other/", "/", "next=http://other/"),
        ("/proxy/http://other/path", "/proxy/http://other/path", ""),
        ("/http://other", "/http://other", ""),
    ],
)
def test_build_environ_splits_the_target(target: str, path: str, query: str) -> None:
    environ = build(request().replace(b"GET /", b"GET " + target.encode()))
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ["RAW_URI"] == target


@pytest.mark.parametrize(
    ("host", "base", "name", "port"),
    [
        ("example.com", {}, "example.com", "80"),
        ("example.com:8080", {}, "example.com", "8080"),
        ("[::1]:8080", {}, "[::1]", "8080"),
        ("example.com", {"wsgi.url_scheme": "https"}, "example.com", "443"),
        ("example.com:80", {"wsgi.url_scheme": "https"}, "example.com", "80"),
        ("a b", {}, "localhost", "80"),
        ("example.com", {"SERVER_NAME": "srv", "SERVER_PORT": "8000"}, "srv", "8000"),
    ],
)
def test_build_environ_has_server_name_and_port(host: str, base: dict[str, Any], name: str, port: str) -> None:
    environ = build(request().replace(b"localhost", host.encode()), base=base)
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)


def test_build_environ_without_a_host_has_a_default() -> None:
    environ = build(b"GET / HTTP/1.0\r\n\r\n")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_build_environ_takes_from_base_what_the_server_knows() -> None:
    base = {"REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "https", "wsgi.multithread": False}
    environ = build(request(), base=base)
    assert base.items() <= environ.items()
    assert is_secure(environ)


def test_build_environ_gives_the_request_no_way_to_what_the_server_knows() -> None:
    base = {"REMOTE_ADDR": "192.0.2.1", "HTTPS": "off"}
    environ = build(request(extra="REMOTE-ADDR: evil\r\nHTTPS: on\r\nwsgi.url-scheme: https\r\n"), base=base)
    assert base.items() <= environ.items()
    assert not is_secure(environ)


def test_build_environ_of_any_request_is_new() -> None:
    parsed = parse_request(request())
    assert isinstance(parsed, Request)
    first, second = build_environ(parsed, b"", {}), build_environ(parsed, b"", {})
    assert first is not second
    assert first["wsgi.input"] is not second["wsgi.input"]
