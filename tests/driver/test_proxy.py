"""A tunnel through an HTTP proxy: the request, all answers in all chunkings, and what goes on to the driver."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.driving import CHUNKINGS, KEY, Chunk, Session, answer, cut, frame, new_client, parse_head, sent_key
from wsdriver import ConfigurationError, Driver, ProxyError
from wsdriver.driver.proxy import MAX_INTERIM, Origin, Proxy, parse_origin
from wsdriver.http import MAX_FIELDS, MAX_HEAD

ORIGIN = "http://proxy.example:3128"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Tunnel:
    """A client's session behind a proxy, and what the proxy told."""

    def __init__(self, origin: str = ORIGIN, url: str = "ws://localhost/", started: bool = True) -> None:
        self.session: Session = new_client(url)
        self.driver: Driver = self.session.driver
        self.proxy: Proxy = self.driver.proxy(origin)
        self.events: list[tuple[str, Any]] = []
        for name in ("connect", "error", "close"):
            self.proxy.on(name, self._listener(name))
        if started:
            assert self.proxy.start() is True
            self.asked = self.session.wire.take()

    def _listener(self, name: str) -> Any:
        return lambda event: self.events.append((name, event))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    @property
    def error(self) -> ProxyError:
        """The one error that was reported, and ``close`` behind it."""
        assert self.names == ["error", "close"]
        error = self.events[0][1]
        assert type(error) is ProxyError
        assert error is self.proxy.error
        assert (self.events[1][1].code, self.events[1][1].reason) == (1006, str(error))
        return error

    def parse(self, chunks: Iterable[Chunk]) -> Tunnel:
        for chunk in chunks:
            self.proxy.parse(chunk)
        return self


# --- the proxy's URL -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://proxy.example", Origin(False, "proxy.example", 80, None)),
        ("https://proxy.example", Origin(True, "proxy.example", 443, None)),
        ("http://proxy.example:3128/", Origin(False, "proxy.example", 3128, None)),
        ("HTTP://127.0.0.1:", Origin(False, "127.0.0.1", 80, None)),
        ("https://[2001:db8::1]:8443", Origin(True, "2001:db8::1", 8443, None)),
        ("http://[::1]", Origin(False, "::1", 80, None)),
        ("http://b\u00fccher:80", Origin(False, "xn--bcher-kva", 80, None)),
        ("http://b\u00fccher.example", Origin(False, "xn--bcher-kva.example", 80, None)),
        ("http://@h", Origin(False, "h", 80, None)),
    ],
)
def test_origin_is_taken_apart(origin: str, expected: Origin) -> None:
    assert parse_origin(origin) == expected


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("user:pw", b"user:pw"),
        ("us%40er:p%3Aw", b"us@er:p:w"),
        ("user", b"user:"),
        ("user:", b"user:"),
        (":pw", b":pw"),
        ("user:a:b", b"user:a:b"),
        ("us@er:pw", b"us@er:pw"),
        ("J%C3%BCrgen:%2F%3F%23", "J\u00fcrgen:/?#".encode()),
        ("J\u00fcrgen:pw", "J\u00fcrgen:pw".encode()),
        ("a%0D%0Ab:c", b"a\r\nb:c"),
        ("a%FF:100%", b"a\xff:100%"),
    ],
)
def test_credentials_are_percent_decoded(userinfo: str, credentials: bytes) -> None:
    tunnel = Tunnel(f"http://{userinfo}@proxy.example:3128")
    _, fields = parse_head(tunnel.asked)
    scheme, _, token = fields["proxy-authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(token, validate=True) == credentials


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "proxy.example",
        "proxy.example:3128",
        "127.0.0.1:3128",
        "//proxy.example",
        "http:",
        "http://",
        "http:///x",
        "http://:3128",
        "http://user:secret@",
        "http:proxy.example",
        "socks5://user:secret@proxy.example",
        "ws://proxy.example",
        "http://proxy.example/path",
        "http://proxy.example?",
        "http://proxy.example#",
        "http://proxy.example:0",
        "http://proxy.example:65536",
        "http://proxy.example:-1",
        "http://proxy.example:http",
        "http://proxy.example:\u0663",
        "http://[::1",
        "http://::1",
        "http://a b",
        "http://a\r\nb",
        "http://user:secret\x7f@a",
        "http://a\\b",
        "http://\u2100.example",
        "http://\u00fc\u00fc" + "x" * 70,
        "http://user:secret/secret@proxy.example",
        "http://us%3Aer:secret@proxy.example",
        None,
        b"http://proxy.example",
        ("proxy.example", 3128),
    ],
)
def test_what_is_no_url_of_a_proxy_is_refused_at_the_call(origin: Any) -> None:
    client = new_client()
    with pytest.raises(ConfigurationError) as raised:
        client.driver.proxy(origin)
    assert "secret" not in str(raised.value)
    assert client.wire.take() == b""


def test_proxy_on_a_server_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="client"):
        Driver.server().proxy(ORIGIN)


# --- the request -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("ws://example.com/chat?x=1", "example.com:80"),
        ("wss://example.com/", "example.com:443"),
        ("ws://user:pw@example.com:8080/", "example.com:8080"),
        ("wss://[2001:db8::1]/", "[2001:db8::1]:443"),
        ("ws://[::1]:99/", "[::1]:99"),
    ],
)
def test_request_asks_for_the_target(url: str, authority: str) -> None:
    tunnel = Tunnel("http://user:pw@proxy.example:3128", url, started=False)
    assert tunnel.session.wire.take() == b""
    assert tunnel.proxy.set_header("User-Agent", "wsdriver") is True
    assert tunnel.proxy.set_header("X-Twice", "1") is True
    assert tunnel.proxy.set_header("X-Twice", "2") is True
    assert tunnel.proxy.start() is True
    assert (
        tunnel.session.wire.take()
        == (
            f"CONNECT {authority} HTTP/1.1\r\n"
            f"Host: {authority}\r\n"
            "Connection: keep-alive\r\n"
            "Proxy-Connection: keep-alive\r\n"
            "Proxy-Authorization: Basic dXNlcjpwdw==\r\n"
            "User-Agent: wsdriver\r\n"
            "X-Twice: 1\r\n"
            "X-Twice: 2\r\n"
            "\r\n"
        ).encode()
    )
    assert tunnel.events == []
    assert tunnel.driver.state == "connecting"


def test_start_writes_once_and_headers_come_before_it() -> None:
    tunnel = Tunnel()
    assert "proxy-authorization" not in parse_head(tunnel.asked)[1]
    assert tunnel.proxy.start() is False
    assert tunnel.proxy.set_header("X-Late", "1") is False
    tunnel.proxy.parse(OK)
    assert tunnel.proxy.start() is False
    assert tunnel.proxy.set_header("X-Late", "1") is False
    assert tunnel.session.wire.take() == b""


def test_header_of_the_application_replaces_our_own() -> None:
    tunnel = Tunnel("http://user:pw@proxy.example", started=False)
    tunnel.proxy.set_header("proxy-authorization", "Bearer abc")
    tunnel.proxy.start()
    _, fields = parse_head(tunnel.session.wire.take())
    assert fields["proxy-authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nEvil: 1"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X", "\u20ac"),
        ("X", 5),
        ("X\r\nEvil", "1"),
        ("X ", "1"),
        ("X:", "1"),
        ("", "1"),
        (b"X", "1"),
        ("Content-Length", "5"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_header_that_cannot_be_sent_is_refused(name: Any, value: Any) -> None:
    tunnel = Tunnel(started=False)
    with pytest.raises(ConfigurationError):
        tunnel.proxy.set_header(name, value)
    tunnel.proxy.start()
    assert tunnel.session.wire.take().count(b"\r\n") == 5


@pytest.mark.parametrize("event", ["open", "message", "data", "end", "conect"])
def test_event_that_a_proxy_does_not_have_is_refused(event: str) -> None:
    proxy = Tunnel().proxy
    with pytest.raises(ValueError, match="connect, error, close"):
        proxy.on(event, print)
    with pytest.raises(ValueError, match="connect, error, close"):
        proxy.off(event)


# --- answers that open the tunnel ------------------------------------------------------------------------------------

LONG = b"X-Long: " + b"x" * (MAX_HEAD - 100)

OPENING = {
    "plain": (OK, 200, {}),
    "http-1.0": (b"HTTP/1.0 200 OK\r\n\r\n", 200, {}),
    "no-reason": (b"HTTP/1.1 200\r\n\r\n", 200, {}),
    "empty-reason": (b"HTTP/1.1 200 \r\n\r\n", 200, {}),
    "other-2xx": (b"HTTP/1.1 299 Fine\r\nVia: 1.1 p\r\n\r\n", 299, {"Via": "1.1 p"}),
    "no-content": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, {}),
    "content-length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: a\r\n\r\n", 200, {"Via": "a"}),
    "large-content-length": (b"HTTP/1.1 200 OK\r\nVia: a\r\nContent-Length: 99999999\r\n\r\n", 200, {"Via": "a"}),
    "wrong-content-length": (b"HTTP/1.1 200 OK\r\ncontent-length: abc\r\n\r\n", 200, {}),
    "two-content-lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 200, {}),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, {}),
    "unknown-coding": (b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: gzip, x\r\n\r\n", 200, {}),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 200, {"Connection": "close"}),
    "repeated-fields": (b"HTTP/1.1 200 OK\r\nVia: a\r\nvia: b\r\n\r\n", 200, {"VIA": "a, b"}),
    "informational": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK, 200, {}),
    "much-informational": (b"HTTP/1.1 100 Continue\r\n\r\n" * MAX_INTERIM + OK, 200, {}),
    "long-head": (b"HTTP/1.1 200 OK\r\n" + LONG + b"\r\n\r\n", 200, {}),
    "most-fields": (b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * MAX_FIELDS + b"\r\n", 200, {}),
}


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize("name", OPENING)
def test_any_2xx_opens_the_tunnel(name: str, how: str) -> None:
    data, status, headers = OPENING[name]
    tunnel = Tunnel().parse(cut(data, how, name))
    assert tunnel.names == ["connect"]
    assert tunnel.proxy.state == "open"
    assert tunnel.proxy.status == status
    assert tunnel.proxy.headers is not None
    assert {key: tunnel.proxy.headers[key] for key in headers} == headers
    assert tunnel.proxy.error is None
    assert tunnel.driver.state == "connecting"
    assert tunnel.session.events == []


def test_short_head_is_found_behind_a_longer_one_that_came_in_parts() -> None:
    tunnel = Tunnel().parse([b"HTTP/1.1 100 Continue\r\n\r", b"\nHTTP/1.1 200\r\n\r\n"])
    assert tunnel.names == ["connect"]


@pytest.fixture
def known_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of RFC 6455 §1.3, so that the server's answer can stand behind the proxy's in one segment."""
    monkeypatch.setattr(secrets, "token_bytes", lambda size: b"the sample nonce"[:size])


@pytest.mark.usefixtures("known_key")
@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize("name", OPENING)
def test_what_is_behind_the_head_reaches_the_driver(name: str, how: str) -> None:
    tunnel = Tunnel()
    tunnel.proxy.on("connect", lambda event: tunnel.driver.start())
    data = OPENING[name][0] + answer(KEY) + frame(1, b"hello", mask=None) + frame(2, b"\xff", mask=None)
    tunnel.parse(cut(data, how, name))
    assert tunnel.names == ["connect"]
    assert sent_key(tunnel.session.wire.take()) == KEY
    assert tunnel.session.events == [("open",), ("message", "hello"), ("message", b"\xff")]
    tunnel.proxy.eof()
    assert tunnel.names == ["connect"]
    assert tunnel.session.events[3:] == [("close", 1006, "", False)]
    tunnel.proxy.eof()
    tunnel.proxy.parse(b"x")
    assert len(tunnel.session.events) == 4


@pytest.mark.usefixtures("known_key")
def test_listener_that_raises_loses_nothing_behind_the_head() -> None:
    tunnel = Tunnel()

    def listener(event: object) -> None:
        tunnel.driver.start()
        raise ZeroDivisionError

    tunnel.proxy.on("connect", listener)
    with pytest.raises(ZeroDivisionError):
        tunnel.proxy.parse(OK + answer(KEY) + frame(1, b"a", mask=None))
    assert tunnel.session.events == []
    tunnel.proxy.parse(frame(1, b"b", mask=None))
    assert tunnel.session.events == [("open",), ("message", "a"), ("message", "b")]
    assert tunnel.names == ["connect"]


@pytest.mark.usefixtures("known_key")
def test_end_behind_a_listener_that_raised_comes_after_the_bytes() -> None:
    tunnel = Tunnel()

    def listener(event: object) -> None:
        tunnel.driver.start()
        raise ZeroDivisionError

    tunnel.proxy.on("connect", listener)
    with pytest.raises(ZeroDivisionError):
        tunnel.proxy.parse(OK + answer(KEY) + frame(1, b"a", mask=None))
    tunnel.proxy.eof()
    assert tunnel.session.events == [("open",), ("message", "a"), ("close", 1006, "", False)]


@pytest.mark.usefixtures("known_key")
def test_listener_may_parse_on() -> None:
    tunnel = Tunnel()

    @tunnel.proxy.on("connect")
    def listener(event: object) -> None:
        tunnel.driver.start()
        tunnel.proxy.parse(frame(1, b"b", mask=None))

    tunnel.proxy.parse(OK + answer(KEY) + frame(1, b"a", mask=None))
    tunnel.proxy.parse(frame(1, b"c", mask=None))
    assert tunnel.session.messages == ["a", "b", "c"]


def test_tunnel_bytes_that_nobody_asked_for_are_the_drivers_to_judge() -> None:
    tunnel = Tunnel()
    tunnel.proxy.parse(OK + b"\x16\x03\x01")
    assert tunnel.names == ["connect"]
    assert tunnel.session.names == ["error", "close"]
    assert "before it was asked" in str(tunnel.session.error)


# --- answers that refuse it ------------------------------------------------------------------------------------------

AUTH = b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="p"\r\nContent-Length: 6\r\n\r\n'

REFUSALS = {
    "407": (AUTH + b"sorry\n", 407),
    "403": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nsorry\n", 403),
    "302": (b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n", 302),
    "502-until-the-end": (b"HTTP/1.0 502 Bad Gateway\r\n\r\n<html>" + b"x" * 5000, 502),
    "no-reason": (b"HTTP/1.1 503\r\n\r\n", 503),
    "after-informational": (b"HTTP/1.1 100 Continue\r\n\r\n" + AUTH, 407),
    "long-reason": (b"HTTP/1.1 403 " + b"x" * 20000 + b"\r\n\r\n", 403),
    "101-is-no-tunnel": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 101),
    "999": (b"HTTP/1.1 999 Odd\r\n\r\n", 999),
}


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize("name", REFUSALS)
def test_anything_else_is_an_error_with_the_answer(name: str, how: str) -> None:
    data, status = REFUSALS[name]
    tunnel = Tunnel().parse(cut(data, how, name))
    error = tunnel.error
    assert error.status == tunnel.proxy.status == status
    assert error.headers is tunnel.proxy.headers
    assert str(status) in str(error)
    assert len(str(error)) < 200
    assert "proxy.example:3128" in str(error)
    body = data.rpartition(b"\r\n\r\n")[2]
    assert body.startswith(error.body)
    if how == "whole":
        assert error.body == body[:1024]
    check_over(tunnel)


def check_over(tunnel: Tunnel) -> None:
    """After an error nothing more happens, and nothing came to the driver."""
    assert tunnel.proxy.state == "closed"
    tunnel.parse([OK, b"", answer(KEY)])
    tunnel.proxy.eof()
    assert tunnel.names == ["error", "close"]
    assert tunnel.proxy.start() is False
    assert tunnel.proxy.set_header("X", "1") is False
    assert tunnel.session.events == []
    assert tunnel.session.wire.take() == b""
    with pytest.raises(ProxyError):
        tunnel.proxy.feed(OK)


def test_407_names_what_the_proxy_wants() -> None:
    error = Tunnel().parse([REFUSALS["407"][0]]).error
    assert error.headers["proxy-authenticate"] == 'Basic realm="p"'
    assert error.body == b"sorry\n"
    assert str(error) == (
        "the proxy proxy.example:3128 answered 407 Proxy Authentication Required: no tunnel to localhost:80"
    )


MALFORMED = {
    "tls": b"\x15\x03\x01\x00\x02\x02F",
    "frame": b"\x81\x05hello",
    "space-first": b" HTTP/1.1 200 OK\r\n\r\n",
    "crlf-first": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "no-http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "a-request": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nVia: a\n\n",
    "one-bare-lf": b"HTTP/1.1 200 OK\r\nVia: a\nb: c\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nVia: a\r\n b\r\n\r\n",
    "folded-content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n",
    "no-colon": b"HTTP/1.1 200 OK\r\nVia\r\n\r\n",
    "space-before-colon": b"HTTP/1.1 200 OK\r\nVia : a\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nVia: a\0b\r\n\r\n",
    "status-of-two-digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status-of-four-digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status-below-100": b"HTTP/1.1 099 OK\r\n\r\n",
    "status-not-ascii": "HTTP/1.1 2\u06630 OK\r\n\r\n".encode(),
    "refusal-with-wrong-length": b"HTTP/1.1 403 Forbidden\r\nContent-Length: abc\r\n\r\n",
    "endless-status-line": b"HTTP/1.1 200 " + b"x" * MAX_HEAD,
    "endless-headers": b"HTTP/1.1 200 OK\r\n" + b"X-a: b\r\n" * (MAX_HEAD // 8),
    "too-many-headers": b"HTTP/1.1 200 OK\r\n" + b"X-a: b\r\n" * (MAX_FIELDS + 1) + b"\r\n",
    "endless-informational": b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_INTERIM + 1),
    "informational-without-end": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n" + b"Link: x\r\n" * MAX_HEAD,
}


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_answer_is_an_error_without_status(name: str, how: str) -> None:
    tunnel = Tunnel().parse(cut(MALFORMED[name], how, name))
    error = tunnel.error
    assert (error.status, error.headers, error.body) == (0, {}, b"")
    assert tunnel.proxy.status is None
    assert tunnel.proxy.headers is None
    assert len(str(error)) < 300
    check_over(tunnel)


def test_endless_headers_are_cut_at_the_limit() -> None:
    tunnel = Tunnel().parse([b"HTTP/1.1 200 OK\r\n"])
    fed = 17
    while tunnel.proxy.state == "connecting":
        tunnel.proxy.parse(b"X-a: b\r\n")
        fed += 8
    assert fed <= MAX_HEAD + 8
    check_over(tunnel)


def test_endless_informational_answers_are_cut_at_the_limit() -> None:
    tunnel = Tunnel()
    for _ in range(MAX_INTERIM):
        tunnel.proxy.parse(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert tunnel.names == []
    tunnel.proxy.parse(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert "informational" in str(tunnel.error)
    check_over(tunnel)


@pytest.mark.parametrize("so_far", [b"", b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", OK[:-1]])
def test_end_before_the_answer_is_an_error(so_far: bytes) -> None:
    tunnel = Tunnel()
    tunnel.proxy.parse(so_far)
    tunnel.proxy.eof()
    assert tunnel.error.status == 0
    assert "ended the connection" in str(tunnel.error)
    check_over(tunnel)


def test_answer_before_the_question_is_an_error() -> None:
    tunnel = Tunnel(started=False)
    tunnel.proxy.parse(b"")
    assert tunnel.names == []
    tunnel.proxy.parse(OK)
    assert tunnel.error.status == 0
    assert "before it was asked" in str(tunnel.error)
    check_over(tunnel)


def test_error_listener_that_raises_is_called_once_and_close_follows() -> None:
    tunnel = Tunnel()

    @tunnel.proxy.on("error")
    def listener(error: ProxyError) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        tunnel.proxy.parse(AUTH)
    assert tunnel.error.status == 407
    check_over(tunnel)


def test_listener_that_was_taken_off_is_not_called() -> None:
    tunnel = Tunnel()
    tunnel.proxy.off("connect")
    tunnel.proxy.parse(OK)
    assert tunnel.events == []
    assert tunnel.proxy.state == "open"


# --- without events --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize("name", OPENING)
def test_feed_returns_the_bytes_of_the_tunnel(name: str, how: str) -> None:
    tunnel = Tunnel(started=False)
    assert tunnel.proxy.request().startswith(b"CONNECT localhost:80 HTTP/1.1\r\n")
    assert tunnel.proxy.start() is False
    got = b""
    parts = [tunnel.proxy.feed(chunk) for chunk in cut(OPENING[name][0] + b"\x16\x03" * 50, how, name)]
    for part in parts:
        assert got == b"" or part is not None
        got += part or b""
    assert got == b"\x16\x03" * 50
    assert all(part is None or type(part) is bytes for part in parts)
    assert (tunnel.proxy.state, tunnel.proxy.status) == ("open", OPENING[name][1])
    assert tunnel.events == []
    assert tunnel.session.events == []
    assert tunnel.session.wire.take() == b""


def test_feed_raises_the_error_and_raises_it_again() -> None:
    proxy = Tunnel().proxy
    assert proxy.feed(AUTH[:-1]) is None
    for data in (AUTH[-1:], OK, b""):
        with pytest.raises(ProxyError) as raised:
            proxy.feed(data)
        assert raised.value is proxy.error
        assert raised.value.status == 407
    other = Tunnel().proxy
    with pytest.raises(ProxyError) as raised:
        other.feed(b"\x15\x03")
    assert raised.value.status == 0


def test_end_without_events_is_on_the_proxy() -> None:
    tunnel = Tunnel()
    assert tunnel.proxy.feed(b"HTTP/1.1 ") is None
    tunnel.proxy.eof()
    with pytest.raises(ProxyError, match="ended the connection"):
        tunnel.proxy.feed(b"")


# --- through the driver's streams ------------------------------------------------------------------------------------


def test_request_of_a_driver_without_a_socket_goes_out_by_io() -> None:
    driver = Driver.client("ws://example.com/")
    proxy = driver.proxy(ORIGIN)
    proxy.on("connect", lambda event: driver.start())
    proxy.start()
    assert driver.io.read().startswith(b"CONNECT example.com:80 HTTP/1.1\r\n")
    proxy.parse(OK)
    key = sent_key(driver.io.read())
    proxy.parse(answer(key))
    driver.io.write(frame(1, b"a", mask=None))
    assert list(driver.messages) == ["a"]


# --- any bytes -------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        b"HTTP/1.1 ",
        b"200 OK",
        b"407 No",
        b"100 Continue",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"Content-Length: 3",
        b"Transfer-Encoding: chunked",
        b"X: y",
        OK,
        AUTH,
        MALFORMED["endless-informational"][:25],
    ]
)


@given(chunks=st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=30), starts=st.booleans())
def test_no_bytes_raise_and_there_is_one_outcome_at_most(chunks: list[bytes], starts: bool) -> None:
    tunnel = Tunnel(started=starts).parse(chunks)
    whole = Tunnel(started=starts).parse([b"".join(chunks)])
    for each in (tunnel, whole):
        before = each.names
        assert before in ([], ["connect"], ["error", "close"])
        assert each.proxy.state == {0: "connecting", 1: "open", 2: "closed"}[len(before)]
        each.proxy.eof()
        assert each.names == (before or ["error", "close"])
    assert tunnel.names == whole.names
    assert tunnel.proxy.status == whole.proxy.status
    # Behind a tunnel that nobody uses, all bytes come to the driver: it was not asked for any.
    assert tunnel.session.names == whole.session.names
