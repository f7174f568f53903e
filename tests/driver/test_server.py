"""The server's side of the opening handshake (RFC 6455 §4.2)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.driving import (
    ACCEPT,
    CHUNKINGS,
    MASK,
    Session,
    cut,
    frame,
    head_of,
    load_vectors,
    new_server,
    new_wsgi,
    parse_head,
    request,
    split_head,
    unframe,
    wsgi_environ,
)
from wsdriver import ConfigurationError, HandshakeError
from wsdriver.driver.server import accept_key

ACCEPTED = [pytest.param(vector, id=vector["name"]) for vector in load_vectors("requests_accepted")]
REFUSED = [pytest.param(vector, id=vector["name"]) for vector in load_vectors("requests_refused")]
REFUSED_BY_WSGI = [pytest.param(v, id=v["name"]) for v in load_vectors("requests_refused") if not v.get("http")]

#: Early bytes that a server keeps until the handshake is answered; far under the limit.
FRAMES = frame(1, b"early", mask=MASK) + frame(9, b"p", mask=MASK) + frame(2, b"\xff", mask=MASK)


def check_accepted(session: Session, head: bytes) -> None:
    first, fields = parse_head(head)
    assert first == "HTTP/1.1 101 Switching Protocols"
    assert fields == {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": ACCEPT}
    assert session.driver.version == "hybi-13"
    assert session.driver.protocol is None
    assert session.driver.state == "open"
    assert session.driver.ready_state == 1


def check_refused(session: Session, vector: dict[str, Any]) -> None:
    """A refusal: a whole HTTP response, then ``error`` and one ``close``; nothing that comes later counts."""
    head, body = split_head(session.wire.take())
    first, fields = parse_head(head)
    status = int(first.split(" ")[1])
    if vector.get("any_status"):
        assert status in range(400, 506)
    else:
        assert status == vector.get("status", 400)
    assert first.startswith("HTTP/1.1 ")
    error = session.error
    assert type(error) is HandshakeError
    sentence = f"{error}\n".encode()
    assert int(fields["content-length"]) == len(sentence)
    assert body == (b"" if session.driver.method == "HEAD" else sentence)  # RFC 9110 §9.3.2
    assert fields["connection"] == "close"
    assert fields["content-type"] == "text/plain; charset=utf-8"
    assert ("sec-websocket-version" in fields) == (status == 426)
    if status == 426:
        assert fields["sec-websocket-version"] == "13"
        assert fields["upgrade"] == "websocket"
    assert error.status == status
    assert vector.get("word", "") in str(error)
    assert session.names[-2:] == ["error", "close"]
    assert "open" not in session.names
    assert session.closes == [("close", 1002, str(error), False)]
    assert session.driver.state == "closed"
    session.events.clear()
    session.parse(request(), FRAMES)
    session.driver.eof()
    assert session.events == []
    assert session.wire.take() == b""


# --- accepted --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", ACCEPTED)
def test_request_right_in_chunks_is_accepted(vector: dict[str, Any]) -> None:
    for how in CHUNKINGS:
        session = new_server()
        assert session.driver.version is None
        assert session.driver.state == "connecting"
        assert session.driver.start() is True
        session.replay(cut(head_of(vector), how, vector["name"]))
        assert session.names == ["connect", "open"], how
        check_accepted(session, session.wire.take())


@pytest.mark.parametrize("vector", ACCEPTED)
def test_request_right_by_wsgi_is_accepted(vector: dict[str, Any]) -> None:
    session = new_wsgi(wsgi_environ(head_of(vector)))
    assert session.driver.start() is True
    assert session.names == ["open"]
    check_accepted(session, session.wire.take())


@pytest.mark.parametrize("vector", ACCEPTED)
def test_request_right_started_at_connect_is_accepted(vector: dict[str, Any]) -> None:
    session = new_server()
    session.driver.on("connect", lambda event: session.driver.start())
    session.parse(head_of(vector))
    assert session.names == ["connect", "open"]
    check_accepted(session, session.wire.take())


def test_accept_key_of_the_rfc_is_its_answer() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_start_called_twice_says_false() -> None:
    session = new_server()
    assert session.driver.start() is True
    assert session.driver.start() is False
    session.parse(request())
    assert session.driver.start() is False
    assert session.names == ["connect", "open"]
    assert session.wire.take().count(b"HTTP/1.1 101") == 1


def test_start_after_the_request_answers_it_once() -> None:
    session = new_server().parse(request())
    assert session.names == ["connect"]
    assert session.wire.take() == b""
    assert session.driver.state == "connecting"
    assert session.driver.start() is True
    assert session.driver.start() is False
    assert session.names == ["connect", "open"]
    check_accepted(session, session.wire.take())


@pytest.mark.parametrize("make", [new_server, new_wsgi])
def test_start_of_a_wrong_request_says_false(make: Any) -> None:
    head = request().replace(b"Version: 13", b"Version: 1")
    session = new_wsgi(wsgi_environ(head)) if make is new_wsgi else new_server().parse(head)
    assert session.driver.start() is False
    assert session.driver.start() is False
    check_refused(session, {"status": 426})


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", REFUSED)
def test_request_wrong_in_chunks_is_refused(vector: dict[str, Any]) -> None:
    for how in CHUNKINGS:
        session = new_server()
        session.driver.start()
        session.replay(cut(head_of(vector), how, vector["name"]))
        assert session.names[-1] == "close", how
        check_refused(session, vector)


@pytest.mark.parametrize("vector", REFUSED)
def test_request_wrong_with_bytes_behind_is_refused(vector: dict[str, Any]) -> None:
    session = new_server()
    session.driver.start()
    session.parse(head_of(vector) + FRAMES)
    check_refused(session, vector)


@pytest.mark.parametrize("vector", REFUSED_BY_WSGI)
def test_request_wrong_by_wsgi_is_refused(vector: dict[str, Any]) -> None:
    session = new_wsgi(wsgi_environ(head_of(vector)))
    assert session.driver.start() is False
    check_refused(session, vector)


@pytest.mark.parametrize(
    ("head", "first", "status"),
    [
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 40000, 32768, 431),
        (b"G" * 40000, 32768, 431),
        (b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 5000, 32768, 431),
        (request(extra="X-A: " + "a" * 32768 + "\r\n"), 32768, 431),
        (request(extra="X-A: b\r\n" * 200), 0, 431),
    ],
    ids=["endless-value", "endless-method", "endless-headers", "long-value", "many-headers"],
)
def test_request_too_large_is_refused_before_its_end(head: bytes, first: int, status: int) -> None:
    session = new_server()
    session.driver.start()
    session.parse(head[:first])
    for i in range(first, len(head), 1000):
        session.parse(head[i : i + 1000])
    check_refused(session, {"status": status})


@pytest.mark.parametrize(("count", "right"), [(123, True), (124, False)])
def test_request_with_128_headers_is_the_largest(count: int, right: bool) -> None:
    session = new_server()
    session.driver.start()
    session.parse(request(extra="".join(f"X-{i}: {i}\r\n" for i in range(count))))
    assert session.names == (["connect", "open"] if right else ["error", "close"])


@pytest.mark.parametrize("how", ["whole", "bytes"])
@pytest.mark.parametrize(("size", "right"), [(32768, True), (32769, False)])
def test_request_of_32_kib_is_the_largest(size: int, right: bool, how: str) -> None:
    head = request(extra="X-A: \r\n")
    head = head.replace(b"X-A: ", b"X-A: " + b"a" * (size - len(head)))
    assert len(head) == size
    session = new_server()
    session.driver.start()
    session.replay(cut(head, how) if how == "whole" else (head[i : i + 1] for i in range(size)))
    assert session.names == (["connect", "open"] if right else ["error", "close"])


@pytest.mark.parametrize(
    "head",
    [
        request(extra="X-A " + "a" * 30000 + "\r\n"),
        request(extra="X-A: " + "\0" * 30000 + "\r\n"),
        b"GET / " + b"\x01" * 30000 + b"\r\n\r\n",
        request().replace(b"Host: localhost", b"Host: " + b"[" * 30000),
        request().replace(b"Version: 13", b"Version: " + b"1" * 30000),
    ],
    ids=["header-line", "header-value", "request-line", "host", "version"],
)
def test_refusal_of_a_long_line_does_not_send_it_back(head: bytes) -> None:
    session = new_server()
    session.driver.start()
    session.parse(head)
    assert len(session.wire.take()) < 1024
    assert len(str(session.error)) < 512


def test_protocol_header_of_16000_spaces_is_read_in_linear_time() -> None:
    """CVE-2021-32640: a splitting regex takes minutes for these."""
    spaces = " " * 16000
    session = new_server(protocols=["x"])
    session.driver.start()
    session.parse(request(extra=f"Sec-WebSocket-Protocol: b{spaces}, {spaces[:8000]}x\r\n"))
    assert session.driver.protocol == "x"


def test_request_in_single_bytes_is_read_in_linear_time() -> None:
    """CVE-2023-43669: a long head in tiny packets, parsed from its start each time."""
    session = new_server()
    for _ in range(32768):
        session.parse(b"a")
    assert session.names == ["error", "close"]


@pytest.mark.parametrize(
    ("error", "first", "extra"),
    [
        (HandshakeError("no"), "HTTP/1.1 400 Bad Request", {}),
        (HandshakeError("log in", 401, {"WWW-Authenticate": "Basic"}), "HTTP/1.1 401 Unauthorized", {}),
        (HandshakeError("not you", 403), "HTTP/1.1 403 Forbidden", {}),
        (HandshakeError("wait", 503, {"Retry-After": "1"}), "HTTP/1.1 503 Service Unavailable", {"retry-after": "1"}),
        (HandshakeError("é", 599), "HTTP/1.1 599 Error", {}),
    ],
)
def test_refuse_with_a_status_of_its_own_sends_it(error: HandshakeError, first: str, extra: dict[str, str]) -> None:
    session = new_server().parse(request())
    session.driver.refuse(error)
    session.driver.refuse(error)
    head, body = split_head(session.wire.take())
    line, fields = parse_head(head)
    assert line == first
    assert extra.items() <= fields.items()
    assert body == f"{error}\n".encode()
    assert session.events == [("connect",), ("error", error), ("close", 1002, str(error), False)]
    assert session.driver.start() is False


@pytest.mark.parametrize("headers", [{"X": "a\r\nEvil: 1"}, {"X\r\nEvil: 1\r\nY": "a"}, {"X": "a\nEvil: 1"}])
def test_refuse_with_a_header_that_splits_the_answer_does_not_send_it(headers: dict[str, str]) -> None:
    session = new_server().parse(request())
    try:
        session.driver.refuse(HandshakeError("no", 403, headers))
    except ConfigurationError:
        pass
    assert b"\nEvil" not in session.wire.take()


def test_refuse_after_the_answer_does_nothing() -> None:
    session = new_wsgi()
    session.driver.start()
    session.forget()
    session.driver.refuse(HandshakeError("too late"))
    assert session.wire.take() == b""
    assert session.events == []
    assert session.driver.state == "open"


def test_eof_inside_the_head_closes_with_1006() -> None:
    session = new_server().parse(request()[:50])
    session.driver.eof()
    assert session.events == [("close", 1006, "", False)]
    assert session.wire.take() == b""
    session.parse(request()[50:])
    assert session.names == ["close"]
    assert session.driver.start() is False


# --- subprotocols and headers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        ("chat", ["chat"], "chat"),
        ("chat, superchat", ["chat", "superchat"], "chat"),
        ("superchat, chat", ["chat", "superchat"], "superchat"),
        ("superchat,chat", ["chat"], "chat"),
        ("superchat", ["chat"], None),
        ("chat2", ["chat"], None),
        ("Chat", ["chat"], None),
        ("", ["chat"], None),
        (" , ,chat,", ["chat"], "chat"),
        ("chat", [], None),
        (None, ["chat"], None),
        ("a, b\r\nSec-WebSocket-Protocol: c", ["c"], "c"),
        ("chat", "chat, superchat", "chat"),
    ],
)
@pytest.mark.parametrize("side", ["server", "wsgi"])
def test_protocol_in_common_is_chosen_in_the_clients_order(
    offered: str | None, supported: list[str] | str, chosen: str | None, side: str
) -> None:
    head = request(extra="" if offered is None else f"Sec-WebSocket-Protocol: {offered}\r\n")
    if side == "wsgi":
        session = new_wsgi(wsgi_environ(head), protocols=supported)
        session.driver.start()
    else:
        session = new_server(protocols=supported)
        session.driver.start()
        session.parse(head)
    assert session.driver.protocol == chosen
    assert parse_head(session.wire.take())[1].get("sec-websocket-protocol") == chosen


def test_headers_given_are_in_the_answer() -> None:
    session = new_server(headers={"Server": "test", "Set-Cookie": "a=b"})
    assert session.driver.set_header("X-Name", "caf\xe9") is True
    assert session.driver.set_header("X-Other", "") is True
    session.driver.start()
    session.parse(request())
    _, fields = parse_head(session.wire.take())
    assert fields["server"] == "test"
    assert fields["x-other"] == ""
    assert fields["set-cookie"] == "a=b"
    assert fields["x-name"] == "caf\xe9"
    assert session.driver.set_header("X-Late", "1") is False


def test_header_set_at_connect_is_in_the_answer() -> None:
    session = new_server()
    session.driver.start()

    def on_connect(event: object) -> None:
        assert session.driver.headers is not None
        assert session.driver.set_header("X-Seen", session.driver.headers["Host"]) is True

    session.driver.on("connect", on_connect)
    session.parse(request())
    assert parse_head(session.wire.take())[1]["x-seen"] == "localhost"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "a\r\nEvil: 1"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "a\0b"),
        ("X", "€"),
        ("X", 5),
        ("X", b"a"),
        ("", "a"),
        ("X Y", "a"),
        ("X:", "a"),
        ("X\r\nEvil", "a"),
        ("\xe9", "a"),
        (b"X", "a"),
    ],
)
@pytest.mark.parametrize("make", [new_server, new_wsgi])
def test_header_that_cannot_be_sent_is_refused(make: Any, name: Any, value: Any) -> None:
    session: Session = make()
    with pytest.raises(ConfigurationError):
        session.driver.set_header(name, value)
    with pytest.raises(ConfigurationError):
        make(headers={name: value})
    with pytest.raises(ConfigurationError):
        make(headers=[(name, value)])


# --- bytes behind the head -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize("when", ["before", "at-connect", "after"])
def test_frames_behind_the_head_are_not_lost(when: str, how: str) -> None:
    session = new_server()
    if when == "before":
        session.driver.start()
    elif when == "at-connect":
        session.driver.on("connect", lambda event: session.driver.start())
    session.replay(cut(request() + FRAMES, how, "behind"))
    if when == "after":
        assert session.names == ["connect"]
        session.driver.start()
    assert session.events == [("connect",), ("open",), ("message", "early"), ("ping", b"p"), ("message", b"\xff")]
    head, rest = split_head(session.wire.take())
    assert head.startswith(b"HTTP/1.1 101")
    assert unframe(rest, masked=False) == [(0x8A, b"p")]


def test_frames_before_start_by_wsgi_are_not_lost() -> None:
    session = new_wsgi().parse(FRAMES[:3])
    session.parse(FRAMES[3:])
    assert session.events == []
    session.driver.start()
    assert session.events == [("open",), ("message", "early"), ("ping", b"p"), ("message", b"\xff")]


def test_frames_of_a_mebibyte_before_the_answer_are_refused() -> None:
    session = new_server().parse(request())
    chunk = b"\x00" * 65536
    for _ in range(16):
        session.parse(chunk)
    assert session.names == ["connect"]
    session.parse(b"\x00")
    check_refused(session, {"word": "before the handshake"})


# --- what is known of the request ------------------------------------------------------------------------------------


def test_attributes_of_a_server_are_those_of_the_request() -> None:
    session = new_server()
    driver = session.driver
    assert (driver.environ, driver.method, driver.path, driver.headers, driver.url) == (None,) * 5
    assert driver.body == b""
    assert driver.status is None
    assert driver.connected is False
    session.parse(request("/chat%20room?x=1", "X-A: b\r\nX-A: c\r\n"))
    assert driver.connected is True
    assert driver.method == "GET"
    assert driver.path == "/chat room"
    assert driver.url == "ws://localhost/chat%20room?x=1"
    assert driver.headers is not None
    assert driver.headers["x-a"] == "b, c"
    assert driver.headers["HOST"] == "localhost"
    assert driver.environ is not None
    assert driver.environ is driver.environ
    assert driver.environ["QUERY_STRING"] == "x=1"
    assert driver.environ["HTTP_X_A"] == "b, c"
    assert driver.status is None
    assert driver.version is None


def test_attributes_by_wsgi_are_those_of_the_environ() -> None:
    environ = {**wsgi_environ(request("/room?x=1", "X-A: b\r\n")), "SCRIPT_NAME": "/chat"}
    driver = new_wsgi(environ).driver
    assert driver.environ is environ
    assert driver.connected is True
    assert driver.method == "GET"
    assert driver.path == "/chat/room"
    assert driver.url == "ws://localhost/chat/room?x=1"
    assert driver.headers is not None
    assert driver.headers["X-A"] == "b"
    assert driver.headers["Sec-Websocket-Version"] == "13"


@pytest.mark.parametrize("side", ["server", "wsgi"])
def test_check_of_a_right_request_returns_its_environ(side: str) -> None:
    session = new_wsgi() if side == "wsgi" else new_server().parse(request())
    environ = session.driver.check()
    assert environ["HTTP_HOST"] == "localhost"
    assert session.driver.check() is environ
    assert session.driver.environ is environ
    assert session.wire.take() == b""
    assert session.driver.start() is True
    check_accepted(session, session.wire.take())
    assert session.driver.environ == environ


@pytest.mark.parametrize("side", ["server", "wsgi"])
def test_check_of_a_wrong_request_raises_and_leaves_it_to_be_answered(side: str) -> None:
    head = request().replace(b"Version: 13", b"Version: 1")
    session = new_wsgi(wsgi_environ(head)) if side == "wsgi" else new_server().parse(head)
    for _ in range(2):
        with pytest.raises(HandshakeError) as caught:
            session.driver.check()
        assert caught.value.status == 426
    assert session.driver.state == "connecting"
    assert session.wire.take() == b""
    assert session.driver.start() is False
    check_refused(session, {"status": 426})


@pytest.mark.parametrize("side", ["server", "wsgi"])
def test_attributes_stay_after_the_answer(side: str) -> None:
    head = request("/a?x=1", "X-A: b\r\n")
    session = new_wsgi(wsgi_environ(head)) if side == "wsgi" else new_server().parse(head)
    driver = session.driver
    driver.start()
    for _ in range(2):
        assert driver.method == "GET"
        assert driver.headers is not None
        assert driver.headers["X-A"] == "b"
        assert driver.environ is not None
        assert driver.environ["QUERY_STRING"] == "x=1"
        assert driver.url == "ws://localhost/a?x=1"
        assert driver.connected is True
        driver.eof()


def test_request_that_is_no_websocket_shows_its_head_and_body() -> None:
    session = new_server().parse(b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
    assert session.names == ["connect"]
    assert session.driver.method == "POST"
    assert session.driver.path == "/form"
    assert session.driver.body == b"half"
    session.parse(b" of it")
    assert session.driver.body == b"half of it"
    assert session.wire.take() == b""


def test_base_environ_of_the_socket_is_in_the_environ() -> None:
    session = new_server()
    session.wire.base_environ = {"REMOTE_ADDR": "192.0.2.1", "wsgi.url_scheme": "https"}
    session.parse(request())
    assert session.driver.environ is not None
    assert session.driver.environ["REMOTE_ADDR"] == "192.0.2.1"
    assert session.driver.url == "wss://localhost/"
