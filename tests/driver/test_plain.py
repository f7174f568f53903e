"""Requests that are judged in one pass: what is taken is right by the rules of the long way, and means the same."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsdriver
from tests.support.net import request
from tests.support.twins import compiled, find_compiled, plain
from wsdriver.driver.server import asked_protocols, check_request
from wsdriver.driver.versions import HYBI_13
from wsdriver.environ import build_environ
from wsdriver.exceptions import HandshakeError
from wsdriver.forwarded import FORWARDED_HEADERS
from wsdriver.http import MAX_FIELDS, MAX_HEAD, HeadReader, parse_request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


TWINS = [module for module in (plain("wsdriver.driver.plain"), find_compiled("wsdriver.driver.plain")) if module]


def test_twins_are_both_there() -> None:
    compiled("wsdriver.driver.plain")
    assert [module.COMPILED for module in TWINS] == [False, True]


def head(*fields: str, target: str = "/", **changes: str | None) -> bytes:
    """Return a plain request; changes by the header's name, with None for without it."""
    headers = {
        "Host": "example.com:8080",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Key": KEY,
        "Sec_WebSocket_Version": "13",
    }
    merged = {**headers, **changes}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in merged.items() if value is not None]
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, *fields, "", ""]).encode("latin-1")


def long_way(data: bytes) -> Any:
    """Return what the other modules make of it, together, in the same form; None where they refuse it."""
    try:
        done = HeadReader().feed(data)
        if done is None or done[1]:
            return None
        parsed = parse_request(done[0])
        environ = build_environ(parsed, b"", {})
        version = check_request(environ)
    except HandshakeError:
        return None
    return (
        version.name,
        parsed.target,
        environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip(" \t"),
        asked_protocols(environ),
        environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", ""),
        parsed.headers.has_any(FORWARDED_HEADERS),
    )


def judge(data: bytes) -> Any:
    """Return what the twins say, who must agree with each other and with the long way."""
    answers = [module.read_plain(data) for module in TWINS]
    assert answers[0] == answers[-1], data
    answer = answers[0]
    if answer is not None:
        expected = long_way(data)
        assert expected is not None, data
        assert (HYBI_13.name, *answer[:4]) == expected[:5]
        assert answer[4] or not expected[5]
        assert data.endswith(b"\r\n\r\n")
        assert type(answer[4]) is bool
    return answer


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (head(), ("/", KEY, "", "", False)),
        (request("/chat?room=1"), ("/chat?room=1", KEY, "", "", False)),
        (head(Host="a"), ("/", KEY, "", "", False)),
        (head(Host="1.2.3.4:65535"), ("/", KEY, "", "", False)),
        (head(Upgrade="WebSocket", Connection="keep-alive, Upgrade"), ("/", KEY, "", "", False)),
        (head(Connection=" \t,upgrade\t ,"), ("/", KEY, "", "", False)),
        (head("Sec-WebSocket-Protocol: chat, \xe9"), ("/", KEY, "chat, \xe9", "", False)),
        (
            head("sec-websocket-extensions:\tpermessage-deflate; a=1 \t"),
            ("/", KEY, "", "permessage-deflate; a=1", False),
        ),
        (head("X-Forwarded-For: 1.2.3.4"), ("/", KEY, "", "", True)),
        (head("x-forwarded-proto:https"), ("/", KEY, "", "", True)),
        (head("X-Forwarded: 1", "Sec_WebSocket_Key: 2", "Cookie: a=b; c", "X-Empty:"), ("/", KEY, "", "", False)),
        (head(*(f"X-{i}: {i}" for i in range(MAX_FIELDS - 5))), ("/", KEY, "", "", False)),
        (head(target="/" + "x" * 20000), ("/" + "x" * 20000, KEY, "", "", False)),
    ],
)
def test_plain_request_is_taken(data: bytes, expected: Any) -> None:
    assert judge(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /",
        head()[:-1],
        head()[:-4],
        head() + b"\x81",
        b"\r\n" + head(),
        head().replace(b"GET", b"HEAD"),
        head().replace(b"GET /", b"GET  /"),
        head().replace(b"1.1", b"1.0"),
        head().replace(b"\r\n", b"\n"),
        head(target="http://example.com/"),
        head(target="/#fragment"),
        head(target="/\xe9"),
        head(Host=None),
        head(Host=""),
        head(Host="[::1]:80"),
        head(Host="a:"),
        head(Host="a:65536"),
        head(Host="a:123456"),
        head(Host="a:8x"),
        head(Host=":80"),
        head("Host: twice"),
        head(Upgrade=None),
        head(Upgrade="websocket, h2c"),
        head("Upgrade: websocket"),
        head(Connection=None),
        head(Connection="keep-alive"),
        head(Connection="upgraded, xupgrade"),
        head("Connection: keep-alive"),
        head(Sec_WebSocket_Key=None),
        head(Sec_WebSocket_Key=KEY[:-1]),
        head(Sec_WebSocket_Key=KEY[:-2] + "AA"),
        head(Sec_WebSocket_Key="-" + KEY[1:]),
        head(f"Sec-WebSocket-Key: {KEY}"),
        head(Sec_WebSocket_Version=None),
        head(Sec_WebSocket_Version="8"),
        head(Sec_WebSocket_Version="013"),
        head("Sec-WebSocket-Version: 13"),
        head("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: b"),
        head("Sec-WebSocket-Extensions: a", "Sec-WebSocket-Extensions: b"),
        head("Content-Length: 0"),
        head("Transfer-Encoding: chunked"),
        head("Expect: 100-continue"),
        head("WebSocket-Protocol: chat"),
        head(" folded"),
        head("No colon"),
        head(": no name"),
        head("Space : a"),
        head("X-Nul: a\0b"),
        head("X-Delete: \x7f"),
        head("X-Return: a\rb"),
        head("X-\xe9: a"),
        head(*(f"X-{i}: {i}" for i in range(MAX_FIELDS - 4))),
        head("X-Long: " + "x" * MAX_HEAD),
    ],
)
def test_request_that_is_not_plain_is_left_to_others(data: bytes) -> None:
    assert judge(data) is None


LINES = st.sampled_from(
    [
        "Host: a",
        "host:b:80",
        "Upgrade: websocket",
        "UPGRADE: WebSocket ",
        "Connection: Upgrade",
        "connection: keep-alive, upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        f"Sec-WebSocket-Key:{KEY}\t",
        "Sec-WebSocket-Key1: 1",
        "Sec-WebSocket-Draft: 2",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Version: 8",
        "Sec-WebSocket-Protocol: chat",
        "WebSocket-Protocol: chat",
        "Sec-WebSocket-Extensions: x-test",
        "X-Forwarded-Ssl: on",
        "x-forwarded-: on",
        "Content-Length: 0",
        "Origin: http://a",
        "Cookie: a=b",
        "X: \xff",
    ]
)


@settings(max_examples=600, deadline=None)
@given(
    lines=st.lists(LINES, max_size=6),
    without=st.sampled_from([0, 0, 0, 1, 2]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
    cut=st.sampled_from([0, 0, 0, 1, 5]),
    seed=st.integers(0, 1000),
)
def test_damaged_requests_are_judged_alike(
    lines: list[str], without: int, changes: list[tuple[int, int]], cut: int, seed: int
) -> None:
    first, *own = head().decode("latin-1").split("\r\n")[:-2]
    fields = own[without:] + lines
    random.Random(seed).shuffle(fields)
    data = bytearray("\r\n".join([first, *fields, "", ""]).encode("latin-1"))
    for place, byte in changes:
        data[place % len(data)] = byte
    judge(bytes(data[: len(data) - cut]))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(range(len(head()))), st.integers(0, 255))
def test_requests_with_one_other_byte_are_judged_alike(place: int, byte: int) -> None:
    data = bytearray(head())
    data[place] = byte
    judge(bytes(data))


class Wire:
    """What a driver writes to."""

    def __init__(self) -> None:
        self.sent = b""
        self.base_environ = {"SERVER_NAME": "here", "SERVER_PORT": "1", "wsgi.url_scheme": "https"}

    def write(self, data: bytes) -> None:
        self.sent += data


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "protocols": {"protocols": ["b", "a"]},
    "headers": {"headers": {"X-Own": "\xe9"}},
    "extensions": {"extensions": [wsdriver.PermessageDeflate()]},
    "other-versions": {"versions": ["hybi-8"]},
    "other-origins": {"origins": ["https://example.org"]},
    "same-origin": {"origins": "same"},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("when", ["before", "in-connect", "after"])
def test_driver_does_the_same_at_once_and_byte_by_byte(name: str, when: str) -> None:
    data = head(
        "Origin: https://example.com:8080",
        "Sec-WebSocket-Protocol: a, b",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "X-Forwarded-For: 1.1.1.1",
    )
    told: list[Any] = []
    for pieces in ([data], [data[i : i + 1] for i in range(len(data))], [data + b"\x81\x80\0\0\0\0"]):
        wire, events = Wire(), []
        driver = wsdriver.Driver.server(wire, **OPTIONS[name])

        @driver.on("connect")
        def connected(event: Any, driver: Any = driver, events: list[Any] = events) -> None:
            events.append(("connect", driver.version, driver.environ["HTTP_HOST"], driver.headers["upgrade"]))
            if when == "in-connect":
                driver.set_header("X-More", "1")
                driver.start()

        for event in ("open", "message", "error", "close"):
            driver.on(event, lambda given, event=event, events=events: events.append((event, str(given))))
        if when == "before":
            driver.start()
        for piece in pieces:
            driver.parse(piece)
        if when == "after":
            assert driver.start() is (name not in ("other-versions", "other-origins"))
        environ = {key: value for key, value in driver.environ.items() if key not in ("wsgi.input", "wsgi.errors")}
        said = [event for event in events if event[0] != "message"]
        told.append((wire.sent, said, driver.version, driver.protocol, driver.state, environ, driver.url, driver.path))
        assert driver.start() is False
    assert told[0] == told[1] == told[2]
    assert told[0][0].startswith(b"HTTP/1.1 101" if name not in ("other-versions", "other-origins") else b"HTTP/1.1 4")
