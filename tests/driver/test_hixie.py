"""The opening handshakes of hixie-75 and hixie-76: the drafts' examples, each fault, and a body that takes its time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.driving import CHUNKINGS, Session, cut, new_server, new_wsgi, parse_head, split_head, wsgi_environ
from wsdriver.driver.hixie import challenge_answer, challenge_number, response_75, response_76
from wsdriver.exceptions import HandshakeError

#: hixie-76 §1.2, §1.3 and §4.1: its examples.
KEY1 = "18x 6]8vM;54 *(5:  {   U1]8  z [  8"
KEY2 = "1_ tx7X d  <  nw  334J702) 7]o}` 0"
BODY = b"Tm[K T2u"
ANSWER = b"fQJ,fN/4F4!~K~MH"

HEAD = (
    f"GET /demo?a=b HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nSec-WebSocket-Key2: {KEY2}\r\n"
    f"Sec-WebSocket-Protocol: sample\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key1: {KEY1}\r\n"
    "Origin: http://example.com\r\n\r\n"
).encode()

HEAD_75 = (
    b"GET /demo?a=b HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n"
    b"Origin: http://example.com\r\n\r\n"
)

# --- the challenge ---------------------------------------------------------------------------------------------------

NUMBERS = [
    (KEY1, 155712099),
    (KEY2, 173347027),
    ("3e6b263  4 17 80", 906585445),
    ("17  9 G`ZD9   2 2b 7X 3 /r90", 179922739),
    ("4 @1  46546xW%0l 1 5", 829309203),
    ("12998 5 Y3 1  .P00", 259970620),
    ("0 ", 0),
    ("4294967295 ", 2**32 - 1),
    ("8589934590  ", 2**32 - 1),
    ("x 0000000000000000000000000000000000012", 12),
]

FAULTS = [
    ("", "digits"),
    ("no digits", "digits"),
    ("\u0661 \u0662", "digits"),
    ("\xb2 \xb9", "digits"),
    ("12345", "spaces"),
    ("1\t2\xa03", "spaces"),
    ("13  ", "multiple"),
    ("10   ", "multiple"),
    ("4294967296 ", "32 bits"),
    ("8589934592  ", "32 bits"),
    ("8589934591  ", "multiple"),
    ("9" * 20 + " ", "32 bits"),
    (" " + "9" * 20_000, "32 bits"),
    ("12345678901" + " " * 3, "multiple"),
]


@pytest.mark.parametrize(("key", "number"), NUMBERS)
def test_challenge_number_of_a_right_key_is_its_digits_by_its_spaces(key: str, number: int) -> None:
    assert challenge_number(key) == number


@pytest.mark.parametrize(("key", "word"), FAULTS, ids=range(len(FAULTS)))
def test_challenge_number_of_a_wrong_key_says_what_is_wrong(key: str, word: str) -> None:
    with pytest.raises(HandshakeError, match=word) as caught:
        challenge_number(key)
    assert caught.value.status == 400


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 12), st.randoms(use_true_random=False), st.text("!#a~\xe9", max_size=9)
)
def test_challenge_number_of_a_key_made_by_the_draft_is_its_number(
    number: int, spaces: int, rng: Any, others: str
) -> None:
    key = str(number * spaces)
    for char in others + " " * spaces:
        at = rng.randint(0, len(key))
        key = key[:at] + char + key[at:]
    assert challenge_number(key) == number


@given(st.text("0123456789 x\u0663", max_size=40))
def test_challenge_number_of_any_key_is_a_number_or_a_handshake_error(key: str) -> None:
    try:
        assert 0 <= challenge_number(key) < 2**32
    except HandshakeError as error:
        assert error.status == 400  # noqa: PT017


ANSWERS = [
    (KEY1, KEY2, BODY, ANSWER),
    ("4 @1  46546xW%0l 1 5", "12998 5 Y3 1  .P00", b"^n:ds[4U", b"8jKS'y:G*Co,Wxa-"),
    ("3e6b263  4 17 80", "17  9 G`ZD9   2 2b 7X 3 /r90", b"WjN}|M(6", b"n`9eBk9z$R8pOtVb"),
]


@pytest.mark.parametrize(("key1", "key2", "body", "answer"), ANSWERS)
def test_challenge_answer_is_that_of_the_drafts(key1: str, key2: str, body: bytes, answer: bytes) -> None:
    assert challenge_answer(key1, key2, body) == answer


def test_challenge_answer_of_a_wrong_key_is_none() -> None:
    for keys in (("1 3", "12"), ("12", "1 3")):
        with pytest.raises(HandshakeError):
            challenge_answer(*keys, BODY)


@pytest.mark.parametrize("body", [b"", BODY[:7], BODY + b"\x00"])
def test_challenge_answer_of_other_than_8_bytes_is_none(body: bytes) -> None:
    with pytest.raises(ValueError, match="8 bytes"):
        challenge_answer(KEY1, KEY2, body)


# --- the heads -------------------------------------------------------------------------------------------------------


def test_response_75_is_the_drafts() -> None:
    assert response_75(wsgi_environ(HEAD_75), "sample", [("X-More", "more")]) == (
        b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"WebSocket-Origin: http://example.com\r\n"
        b"WebSocket-Location: ws://example.com/demo?a=b\r\n"
        b"WebSocket-Protocol: sample\r\n"
        b"X-More: more\r\n"
        b"\r\n"
    )


def test_response_76_is_the_drafts() -> None:
    assert response_76(wsgi_environ(HEAD), "sample", [("X-More", "more")]) == (
        b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n"
        b"Upgrade: WebSocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Origin: http://example.com\r\n"
        b"Sec-WebSocket-Location: ws://example.com/demo?a=b\r\n"
        b"Sec-WebSocket-Protocol: sample\r\n"
        b"X-More: more\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize("respond", [response_75, response_76])
class TestResponse:
    """Either response."""

    def test_without_an_origin_or_a_protocol_has_no_such_lines(self, respond: Any) -> None:
        environ = wsgi_environ(HEAD)
        del environ["HTTP_ORIGIN"]
        _, fields = parse_head(respond(environ, None, []))
        assert [name.removeprefix("sec-") for name in fields] == ["upgrade", "connection", "websocket-location"]

    @pytest.mark.parametrize("origin", ["", "http://a\rX: y", "a\nb", "a\x00b", "a\x7fb"])
    def test_with_an_origin_that_is_none_does_not_repeat_it(self, respond: Any, origin: str) -> None:
        head = respond({**wsgi_environ(HEAD), "HTTP_ORIGIN": origin}, None, [])
        assert b"Origin" not in head
        assert len(head.splitlines()) == 5

    @pytest.mark.parametrize("origin", ["null", "http://b\xe9.example"])
    def test_with_any_other_origin_repeats_it(self, respond: Any, origin: str) -> None:
        _, fields = parse_head(respond({**wsgi_environ(HEAD), "HTTP_ORIGIN": origin}, None, []))
        assert origin in fields.values()

    @pytest.mark.parametrize(
        ("changes", "secure", "location"),
        [
            ({}, True, "wss://example.com/demo?a=b"),
            ({"wsgi.url_scheme": "https"}, None, "wss://example.com/demo?a=b"),
            ({"wsgi.url_scheme": "https"}, False, "ws://example.com/demo?a=b"),
            ({"HTTP_HOST": "[::1]:8080"}, None, "ws://[::1]:8080/demo?a=b"),
            ({"RAW_URI": "/d%C3%A9mo%0d?a=%41&%"}, None, "ws://example.com/d%C3%A9mo%0d?a=%41&%"),
            ({"SCRIPT_NAME": "/app"}, None, "ws://example.com/app/demo?a=b"),
            ({"PATH_INFO": "/d\xc3\xa9mo"}, None, "ws://example.com/d%C3%A9mo?a=b"),
            ({"PATH_INFO": "/a b"}, None, "ws://example.com/a%20b?a=b"),
            ({"PATH_INFO": "/\r\nX-Evil: yes\r\n\r\n"}, None, "ws://example.com/%0D%0AX-Evil:%20yes%0D%0A%0D%0A?a=b"),
        ],
    )
    def test_location_is_the_url_that_was_asked_for(
        self, respond: Any, changes: dict[str, str], secure: bool | None, location: str
    ) -> None:
        _, fields = parse_head(respond({**wsgi_environ(HEAD), **changes}, None, [], secure))
        (found,) = (value for name, value in fields.items() if name.endswith("websocket-location"))
        assert found == location


# --- a driver --------------------------------------------------------------------------------------------------------


def started(head: bytes = HEAD, **options: Any) -> Session:
    """Return a server's driver that begins as soon as it can."""
    session = new_server(**options)
    session.driver.start()
    session.parse(head)
    return session


@pytest.mark.parametrize("how", CHUNKINGS)
def test_driver_given_a_challenge_and_frames_in_chunks_answers(how: str) -> None:
    session = started(b"", protocols=["sample"])
    session.replay(cut(HEAD + BODY + b"\x00early\xff\x80\x01?\x00more\xff\xff\x00", how))
    head, rest = split_head(session.wire.take())
    assert head == response_76(wsgi_environ(HEAD), "sample", [])
    assert rest == ANSWER + b"\xff\x00"
    assert session.events == [
        ("connect",),
        ("open",),
        ("message", "early"),
        ("message", "more"),
        ("close", 1005, "", True),
    ]
    assert session.driver.version == "hixie-76"
    assert session.driver.protocol == "sample"


def test_driver_whose_challenge_is_incomplete_is_not_open_and_keeps_what_is_sent() -> None:
    session = started()
    driver = session.driver
    head, rest = split_head(session.wire.take())
    assert head.startswith(b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n")
    assert rest == b"", "the head goes out before a proxy lets the body through"
    assert session.names == ["connect"]
    assert driver.state == "connecting"
    assert driver.text("first")
    session.parse(BODY[:3])
    assert driver.text("second")
    session.parse(BODY[3:7])
    assert session.wire.take() == b""
    assert session.names == ["connect"]
    session.parse(BODY[7:])
    assert session.wire.take() == ANSWER + b"\x00first\xff\x00second\xff"
    assert session.names == ["connect", "open"]
    assert driver.state == "open"


@pytest.mark.parametrize("at", range(9))
def test_driver_behind_a_wsgi_server_takes_a_body_split_anywhere(at: int) -> None:
    session = new_wsgi(wsgi_environ(HEAD))
    session.parse(BODY[:at])
    session.driver.start()
    session.parse(BODY[at:] + b"\x00a\xff")
    assert split_head(session.wire.take())[1] == ANSWER
    assert session.events == [("open",), ("message", "a")]


def test_driver_whose_challenge_never_comes_ends_once() -> None:
    session = started()
    session.driver.text("never sent")
    session.parse(BODY[:7])
    session.driver.eof()
    assert session.closes == [("close", 1006, "", False)]
    assert session.names == ["connect", "close"]
    assert session.driver.text("too late") is False


@pytest.mark.parametrize(
    "replacement",
    [
        (KEY1.encode(), b"nothing"),
        (KEY2.encode(), b"1"),
        (KEY1.encode(), b"3 3 3"),
        (f"Sec-WebSocket-Key1: {KEY1}\r\n".encode(), b""),
        (f"Sec-WebSocket-Key2: {KEY2}\r\n".encode(), b""),
        (KEY2.encode(), b" 1" + b"9" * 5000),
    ],
    ids=range(6),
)
def test_driver_given_a_wrong_challenge_refuses_it(replacement: tuple[bytes, bytes]) -> None:
    session = started(HEAD.replace(*replacement) + BODY)
    assert session.wire.take().startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert session.names == ["connect", "error", "close"]
    assert isinstance(session.error, HandshakeError)
    assert session.driver.version is None


def test_driver_refused_while_it_waits_for_the_challenge_says_no_more() -> None:
    session = started(HEAD)
    assert session.wire.take().startswith(b"HTTP/1.1 101 ")
    session.driver.refuse(HandshakeError("the server is stopping", 503))
    assert session.wire.take() == b""
    assert session.driver.state == "closed"
    assert session.error.status == 503


@pytest.mark.parametrize("how", CHUNKINGS)
def test_driver_given_hixie_75_and_frames_in_chunks_answers(how: str) -> None:
    session = started(b"")
    session.replay(cut(HEAD_75 + b"\x00early\xff\xff\x00\x00more\xff", how))
    assert session.wire.take() == response_75(wsgi_environ(HEAD_75), None, [])
    assert session.events == [("connect",), ("open",), ("message", "early"), ("message", "more")]
    assert session.driver.version == "hixie-75"


@pytest.mark.parametrize("head", [HEAD_75, HEAD + BODY], ids=["hixie-75", "hixie-76"])
class TestOpenDriver:
    """A driver that is open, in either version."""

    def test_cannot_do_what_the_version_has_not(self, head: bytes) -> None:
        session = started(head).forget()
        driver = session.driver
        assert driver.state == "open"
        assert not driver.pingable
        assert not driver.supports_close_codes
        assert driver.binary(b"data") is False
        assert driver.ping(b"data", lambda: None) is False
        assert driver.pong() is False
        assert session.wire.take() == b""
        assert driver.text("größer") is True
        assert session.wire.take() == "\x00größer".encode() + b"\xff"

    def test_given_a_fault_ends_with_its_error(self, head: bytes) -> None:
        for data, code in [(b"\x00\x80", 1007), (b"\x80" * 20, 1002), (b"\x00" + b"a" * 51, 1009)]:
            session = started(head, max_length=50).forget()
            session.parse(b"\x00good\xff" + data + b"\x00late\xff")
            assert session.names == ["message", "error", "close"]
            assert session.closes == [("close", code, str(session.error), False)]
            assert session.driver.state == "closed"
            assert session.wire.take() in (b"", b"\xff\x00"), "no frames of other versions"

    def test_of_which_the_peer_goes_away_says_so(self, head: bytes) -> None:
        session = started(head).forget()
        session.parse(b"\x00half")
        session.driver.eof()
        assert session.events == [("close", 1006, "", False)]


def test_driver_of_hixie_76_that_closes_waits_for_the_answer() -> None:
    session = started(HEAD + BODY).forget()
    assert session.driver.close(3001, "bye") is True
    assert session.driver.close() is False
    assert session.wire.take() == b"\xff\x00"
    assert session.driver.state == "closing"
    session.parse(b"\x00crossed\xff\xff\x00\x00late\xff")
    assert session.closes == [("close", 1005, "", True)]
    assert session.wire.take() == b""


def test_driver_of_hixie_75_that_closes_is_closed() -> None:
    session = started(HEAD_75).forget()
    assert session.driver.close(3001, "bye") is True
    assert session.driver.close() is False
    session.parse(b"\x00late\xff")
    assert session.wire.take() == b""
    assert session.names == ["close"]
    assert session.driver.state == "closed"
