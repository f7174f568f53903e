"""The client's side of the opening handshake (RFC 6455 §4.1) and WebSocket URLs (§3)."""

from __future__ import annotations

import base64
import secrets
from typing import Any

import pytest

from tests.support.driving import (
    CHUNKINGS,
    Session,
    Wire,
    answer,
    cut,
    frame,
    head_of,
    load_vectors,
    new_client,
    new_server,
    parse_head,
    request,
    sent_key,
    start_client,
)
from wsdriver import ConfigurationError, Driver, HandshakeError

ACCEPTED = [pytest.param(vector, id=vector["name"]) for vector in load_vectors("responses") if vector.get("accepts")]
REFUSED = [pytest.param(vector, id=vector["name"]) for vector in load_vectors("responses") if not vector.get("accepts")]

FRAMES = frame(1, b"early", mask=None) + frame(9, b"p", mask=None) + frame(2, b"\xff", mask=None)


def asked(vector: dict[str, Any]) -> tuple[Session, bytes]:
    """Return a client that has asked, and the vector's answer."""
    session = new_client(protocols=vector.get("protocols", ()))
    session.driver.start()
    return session, head_of(vector, sent_key(session.wire.take()))


def check_refused(session: Session, vector: dict[str, Any]) -> None:
    """The answer is refused: ``error`` and one ``close``; a client has nothing to say then."""
    error = session.error
    assert type(error) is HandshakeError
    assert vector["word"] in str(error)
    assert session.events == [("error", error), ("close", 1002, str(error), False)]
    assert session.wire.take() == b""
    assert session.driver.state == "closed"
    assert session.driver.protocol is None
    session.parse(answer("x"), FRAMES)
    session.driver.eof()
    assert len(session.events) == 2
    assert session.driver.text("late") is False


# --- the request -----------------------------------------------------------------------------------------------------


def test_request_with_the_rfc_nonce_is_as_the_rfc_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "token_bytes", lambda size: b"the sample nonce"[:size])
    session = new_client("ws://server.example.com/chat", protocols=["chat", "superchat"])
    session.driver.set_header("Origin", "http://example.com")
    assert session.driver.state == "connecting"
    assert session.wire.take() == b""
    assert session.driver.start() is True
    assert session.wire.take() == (
        b"GET /chat HTTP/1.1\r\n"
        b"Host: server.example.com\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Origin: http://example.com\r\n"
        b"\r\n"
    )
    session.parse(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
    assert session.events == [("open",)]
    assert session.driver.protocol == "chat"


def test_request_key_is_16_random_bytes() -> None:
    keys = set()
    for _ in range(50):
        session = new_client()
        session.driver.start()
        keys.add(sent_key(session.wire.take()))
    assert len(keys) == 50
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}


def test_request_is_sent_once() -> None:
    session = new_client()
    assert session.driver.start() is True
    assert session.driver.start() is False
    assert session.wire.take().count(b"GET") == 1
    assert session.driver.state == "connecting"


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("ws://example.com", "/", "example.com"),
        ("ws://example.com/", "/", "example.com"),
        ("ws://example.com?x=1", "/?x=1", "example.com"),
        ("ws://example.com/a/b?x=1&y=%20", "/a/b?x=1&y=%20", "example.com"),
        ("ws://example.com/%23", "/%23", "example.com"),
        ("ws://example.com:80/", "/", "example.com"),
        ("ws://example.com:/", "/", "example.com"),
        ("ws://example.com:443/", "/", "example.com:443"),
        ("ws://example.com:8080/", "/", "example.com:8080"),
        ("wss://example.com/", "/", "example.com"),
        ("wss://example.com:443/", "/", "example.com"),
        ("wss://example.com:80/", "/", "example.com:80"),
        ("WS://example.com/", "/", "example.com"),
        ("ws://127.0.0.1:8000/", "/", "127.0.0.1:8000"),
        ("ws://[::1]/", "/", "[::1]"),
        ("ws://[::1]:8080/chat", "/chat", "[::1]:8080"),
        ("wss://[2001:db8::1]:443/", "/", "[2001:db8::1]"),
        ("ws://user:password@example.com:81/", "/", "example.com:81"),
        ("ws://user@[::1]:81/", "/", "[::1]:81"),
        ("ws://example.com/caf\u00e9?\u20ac", "/caf%C3%A9?%E2%82%AC", "example.com"),
        ("ws://b\u00fccher.example/", "/", "xn--bcher-kva.example"),
        ("ws://example.com//double", "//double", "example.com"),
        ("ws://example.com/a@b:c", "/a@b:c", "example.com"),
    ],
)
def test_request_of_a_url_names_target_and_host(url: str, target: str, host: str) -> None:
    session = new_client(url)
    session.driver.start()
    first, fields = parse_head(session.wire.take())
    assert first == f"GET {target} HTTP/1.1"
    assert fields["host"] == host
    assert session.driver.url == url
    assert "sec-websocket-protocol" not in fields
    assert "sec-websocket-extensions" not in fields


@pytest.mark.parametrize(
    ("url", "secure", "host", "port"),
    [
        ("ws://example.com/", False, "example.com", 80),
        ("wss://example.com/", True, "example.com", 443),
        ("ws://example.com:8080/", False, "example.com", 8080),
        ("wss://[2001:db8::1]/", True, "2001:db8::1", 443),
        ("ws://[::1]:8080/", False, "::1", 8080),
        ("ws://user:pw@127.0.0.1:1/", False, "127.0.0.1", 1),
        ("ws://b\u00fccher.example/", False, "xn--bcher-kva.example", 80),
        ("ws://[fe80::1%25eth0]:81/", False, "fe80::1%eth0", 81),  # RFC 6874 §2
    ],
)
def test_target_of_a_url_is_where_to_connect(url: str, secure: bool, host: str, port: int) -> None:
    target = new_client(url).driver.target
    assert (target.secure, target.host, target.port) == (secure, host, port)


@pytest.mark.parametrize(
    ("user", "credentials"),
    [
        ("user:password", b"user:password"),
        ("user", b"user:"),
        ("user:", b"user:"),
        (":password", b":password"),
        ("user:pass:word", b"user:pass:word"),
        ("us%40er:p%3Aa%2Fss", b"us@er:p:a/ss"),
        ("us@er:pw", b"us@er:pw"),
        ("%C3%A9:%E2%82%AC", "\u00e9:\u20ac".encode()),
        ("\u00e9:pw", "\u00e9:pw".encode()),
        ("a+b:c+d", b"a+b:c+d"),
    ],
)
def test_request_of_a_url_with_a_user_has_basic_authorization(user: str, credentials: bytes) -> None:
    session = new_client(f"ws://{user}@example.com/")
    session.driver.start()
    _, fields = parse_head(session.wire.take())
    assert fields["authorization"] == "Basic " + base64.b64encode(credentials).decode()
    assert fields["host"] == "example.com"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "/path",
        "//example.com/",
        "http://example.com/",
        "https://example.com/",
        "wsss://example.com/",
        "ws:example.com",
        "ws:/example.com",
        "ws://",
        "ws:///path",
        "ws://:80/",
        "ws://user@/",
        "ws://example.com/#fragment",
        "ws://example.com/#",
        "ws://example.com:99999/",
        "ws://example.com:65536/",
        "ws://example.com:-1/",
        "ws://example.com:port/",
        "ws://example.com:\u0661/",
        "ws://[::1/",
        "ws://::1]/",
        "ws://[::1]x/",
        "ws://[word]/",
        "ws://::1/",
        "ws://exa mple.com/",
        "ws://example.com/a b",
        "ws://example.com/a\r\nEvil: 1",
        "ws://example.com/\t",
        "ws://example.com\n/",
        "ws://example.com/\0",
        "ws://example.com/\x7f",
        " ws://example.com/",
        "ws://exa\\mple.com/",
        'ws://exa"mple.com/',
        "ws://exa<mple.com/",
        "ws://\u2100.example/",
        "ws://" + "\u00fc" * 64 + ".example/",
    ],
)
def test_url_that_is_wrong_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Driver.client(Wire(url))


def test_headers_given_are_in_the_request() -> None:
    session = new_client(headers={"Cookie": "a=b", "X-Name": "caf\xe9"})
    assert session.driver.set_header("User-Agent", "test") is True
    session.driver.start()
    _, fields = parse_head(session.wire.take())
    assert fields["cookie"] == "a=b"
    assert fields["x-name"] == "caf\xe9"
    assert fields["user-agent"] == "test"
    assert session.driver.set_header("X-Late", "1") is False


def test_headers_given_replace_host_origin_and_authorization() -> None:
    given = {"host": "other.example", "authorization": "Bearer token", "Origin": "null"}
    session = new_client("ws://user:pw@example.com/", headers=given)
    session.driver.start()
    _, fields = parse_head(session.wire.take())  # none of them is there twice
    assert {name: fields[name.lower()] for name in given} == given


@pytest.mark.parametrize("name", ["Upgrade", "connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
def test_headers_given_leave_those_of_the_handshake_alone(name: str) -> None:
    """Either they are refused at the call, or they change nothing: the handshake could only fail."""
    try:
        session = new_client(headers={name: "x"})
    except ConfigurationError:
        return
    session.driver.start()
    _, fields = parse_head(session.wire.take())
    assert fields[name.lower()] != "x"


@pytest.mark.parametrize("value", ["a\r\nEvil: 1", "a\nb", "a\rb", "a\0b", "\u20ac", None, 1])
def test_header_that_cannot_be_sent_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError):
        new_client().driver.set_header("X", value)
    with pytest.raises(ConfigurationError):
        new_client(headers={"X": value})


@pytest.mark.parametrize("protocols", [["a b"], ["a,b"], [""], "chat,,x", ["chat", "chat"], [1], ["a\r\nEvil: 1"], 5])
def test_protocols_that_cannot_be_sent_are_refused(protocols: Any) -> None:
    with pytest.raises(ConfigurationError):
        new_client(protocols=protocols)


# --- the answer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", ACCEPTED)
def test_answer_right_in_chunks_is_accepted(vector: dict[str, Any]) -> None:
    for how in CHUNKINGS:
        session, head = asked(vector)
        assert session.driver.status is None
        assert session.driver.headers is None
        session.replay(cut(head, how, vector["name"]))
        assert session.events == [("open",)], how
        assert session.driver.state == "open"
        assert session.driver.protocol == vector.get("protocol")
        assert session.driver.version == "hybi-13"
        assert session.driver.status == 101
        assert session.driver.headers is not None
        assert session.driver.headers["UPGRADE"].lower() == "websocket"
        assert session.wire.take() == b""


@pytest.mark.parametrize("vector", ACCEPTED)
def test_frames_behind_the_answer_in_chunks_are_not_lost(vector: dict[str, Any]) -> None:
    for how in CHUNKINGS:
        session, head = asked(vector)
        session.replay(cut(head + FRAMES, how, vector["name"]))
        assert session.events == [("open",), ("message", "early"), ("ping", b"p"), ("message", b"\xff")], how
        assert session.take_frames() == [(0x8A, b"p")]


@pytest.mark.parametrize("size", [2**20 - 1, 2**20, 3 * 2**19])
def test_frames_behind_the_answer_are_not_lost_however_many(size: int) -> None:
    """The limit of early bytes is for a server that has not answered yet; here the answer is in front of them."""
    session, head = start_client()
    message = frame(2, bytes(100), mask=None)
    count = size // len(message) + 1
    session.parse(head + message * count)
    assert session.names == ["open"] + ["message"] * count


def test_bytes_behind_a_request_that_is_answered_at_once_are_not_lost_however_many() -> None:
    """The same on a server that has been started: in two calls of parse they would all be taken."""
    session = new_server()
    session.driver.start()
    session.parse(request() + frame(2, bytes(65536)) * 17)
    assert session.names == ["connect", "open"] + ["message"] * 17


@pytest.mark.parametrize("vector", REFUSED)
def test_answer_wrong_in_chunks_is_refused(vector: dict[str, Any]) -> None:
    for how in CHUNKINGS:
        session, head = asked(vector)
        session.replay(cut(head, how, vector["name"]))
        assert session.names == ["error", "close"], how
        check_refused(session, vector)


@pytest.mark.parametrize("vector", REFUSED)
def test_answer_wrong_with_frames_behind_is_refused(vector: dict[str, Any]) -> None:
    session, head = asked(vector)
    session.parse(head + FRAMES)
    check_refused(session, vector)


@pytest.mark.parametrize("vector", REFUSED)
def test_answer_wrong_leaves_its_status_in_the_error(vector: dict[str, Any]) -> None:
    """HandshakeError.status: on a client the one that it got, 0 where no answer came."""
    session, head = asked(vector)
    session.parse(head)
    assert isinstance(session.error, HandshakeError)
    assert session.error.status == vector.get("status", 101)


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 10000])
def test_answer_behind_informational_ones_counts(size: int) -> None:
    """RFC 9110 §15.2: any number of them may come before the final one."""
    session, head = start_client()
    data = INTERIM * 5 + head + FRAMES
    for start in range(0, len(data), size):
        session.parse(data[start : start + size])
    assert session.driver.status == 101
    assert session.driver.ready_state == 1
    assert [event[0] for event in session.events if event[0] in ("open", "error")] == ["open"]


def test_answer_behind_too_many_informational_ones_is_refused() -> None:
    session, head = start_client()
    session.parse(INTERIM * 5 + b"HTTP/1.1 102 Processing\r\n\r\n" + head)
    check_refused(session, {"word": "more than 10 informational answers"})
    assert getattr(session.error, "status", None) == 0


def test_answer_401_in_chunks_leaves_its_body_without_them() -> None:
    session, _ = start_client()
    session.parse(b"HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwho?\r\n0\r\n\r\n")
    assert isinstance(session.error, HandshakeError)
    assert session.error.body == b"who?"


def test_answer_401_leaves_headers_and_body_in_the_error() -> None:
    session, _ = start_client()
    session.parse(
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nWWW-Authenticate: Digest\r\n"
        b"Content-Length: 5000\r\n\r\n" + b"login" * 1000
    )
    error = session.error
    assert isinstance(error, HandshakeError)
    assert error.status == 401
    assert error.headers["www-authenticate"] == "Basic, Digest"
    assert error.body == (b"login" * 1000)[:1024]
    assert session.driver.status == 401
    assert session.driver.headers is not None
    assert session.driver.headers.get_all("WWW-Authenticate") == ["Basic", "Digest"]


@pytest.mark.parametrize(
    ("flood", "word"),
    [
        (b"X-A: b\r\n", "longer than"),
        (b"X", "longer than"),
    ],
)
def test_answer_without_end_is_refused(flood: bytes, word: str) -> None:
    session, head = start_client()
    session.parse(head[:-2])
    for _ in range(40):
        session.parse(flood * (1000 // len(flood)))
    check_refused(session, {"word": word})
    assert getattr(session.error, "status", None) == 0


def test_answer_with_too_many_headers_is_refused() -> None:
    session, head = start_client()
    session.parse(head[:-2] + b"X-A: b\r\n" * 200 + b"\r\n")
    check_refused(session, {"word": "more than 128"})


def test_answer_before_the_question_is_refused() -> None:
    session = new_client().parse(answer("dGhlIHNhbXBsZSBub25jZQ=="))
    check_refused(session, {"word": "before it was asked"})
    assert session.driver.start() is False


def test_answer_cut_off_closes_with_1006() -> None:
    session, head = start_client()
    session.parse(head[:20])
    session.driver.eof()
    error = session.error
    assert isinstance(error, HandshakeError)
    assert error.status == 0
    assert session.events == [("error", error), ("close", 1006, "", False)]
    session.driver.eof()
    session.parse(head[20:])
    assert len(session.events) == 2


def test_attributes_of_a_client_are_its_own() -> None:
    driver = new_client("ws://localhost/chat").driver
    assert driver.version == "hybi-13"
    assert driver.url == "ws://localhost/chat"
    assert (driver.environ, driver.method, driver.path, driver.headers, driver.status) == (None,) * 5
    assert driver.connected is False
    assert driver.pingable is True
    assert driver.supports_close_codes is True
