"""What may be done with a driver in each of its states, and what goes out."""

from __future__ import annotations

import array
import gc
import itertools
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.driving import (
    MASK,
    Session,
    answer,
    new_client,
    new_server,
    new_wsgi,
    open_session,
    payload_of,
    request,
    sent_key,
    split_head,
    start_client,
    unframe,
)
from wsdriver import ConfigurationError, Driver, ProtocolError
from wsdriver.framing import masking

SIDES = ("server", "wsgi", "client")
BOTH = ("server", "client")

INVALID_CODES = [-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535, 65536, 10**9]
VALID_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]


def new_session(side: str, **options: Any) -> Session:
    return {"server": new_server, "wsgi": new_wsgi, "client": new_client}[side](**options)


def open_now(session: Session) -> None:
    """Let a session that is connecting become open."""
    if session.side == "client":
        raise AssertionError("use start_client")
    session.driver.start()
    if session.side == "server":
        session.parse(request())


def close_now(session: Session) -> Session:
    """Let the peer end an open session."""
    session.parse(session.frame(8, b"\x03\xe8"))
    assert session.driver.state == "closed"
    return session.forget()


# --- messages out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "text",
    ["", "a", "Hello", "caf\xe9", "\u20ac", "\U0001f600", "\0", "a" * 125, "a" * 126, "\xe9" * 63, "\u20ac" * 30000],
    ids=lambda text: f"{len(text)}-{text[:1]!a}",
)
def test_text_when_open_is_sent(side: str, text: str) -> None:
    session = open_session(side)
    assert session.driver.text(text) is True
    assert session.take_frames() == [(0x81, text.encode())]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_binary_when_open_is_sent(side: str, size: int) -> None:
    session = open_session(side)
    data = bytes(i * 7 & 0xFF for i in range(size))
    assert session.driver.binary(data) is True
    assert session.take_frames() == [(0x82, data)]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("state", ["connecting", "open"])
@pytest.mark.parametrize(
    "data",
    [
        b"\x01\x02\x03\x04",
        bytearray(b"\x01\x02\x03\x04"),
        memoryview(b"\x01\x02\x03\x04"),
        memoryview(bytes(range(9)))[1:8:2],
        memoryview(array.array("H", [1, 2])),
        array.array("B", [1, 2]),
    ],
    ids=["bytes", "bytearray", "memoryview", "steps", "shorts", "array"],
)
def test_binary_takes_whatever_has_bytes(side: str, state: str, data: Any) -> None:
    expected = bytes(memoryview(data))
    if state == "open":
        session = open_session(side)
        assert session.driver.binary(data) is True
    elif side == "client":
        session, reply = start_client()
        assert session.driver.binary(data) is True
        session.parse(reply)
    else:
        session = new_session(side)
        assert session.driver.binary(data) is True
        open_now(session)
        session.wire.sent = split_head(session.wire.take())[1]
    assert session.take_frames() == [(0x82, expected)]
    assert bytes(memoryview(data)) == expected


def test_binary_while_connecting_keeps_a_copy() -> None:
    session = new_wsgi()
    data = bytearray(b"before")
    session.driver.binary(data)
    data[:] = b"after!"
    session.driver.start()
    assert unframe(split_head(session.wire.take())[1], masked=False) == [(0x82, b"before")]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("state", ["connecting", "open", "closed"])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda driver: driver.text(b"bytes"), TypeError),
        (lambda driver: driver.text(None), TypeError),
        (lambda driver: driver.text(5), TypeError),
        (lambda driver: driver.binary("text"), TypeError),
        (lambda driver: driver.ping("a" * 126), ValueError),
        (lambda driver: driver.ping("\xe9" * 63), ValueError),
        (lambda driver: driver.ping(bytes(126)), ValueError),
        (lambda driver: driver.pong(bytes(126)), ValueError),
        (lambda driver: driver.ping(5), TypeError),
        (lambda driver: driver.pong(None), TypeError),
        (lambda driver: driver.close("1000"), ValueError),
        (lambda driver: driver.close(True), ValueError),
        (lambda driver: driver.close(1000.0), ValueError),
        (lambda driver: driver.close(1000, b"bytes"), TypeError),
        (lambda driver: driver.close(1000, None), TypeError),
        *((lambda driver, code=code: driver.close(code), ValueError) for code in INVALID_CODES),
    ],
)
def test_misuse_raises_at_the_call_and_changes_nothing(
    side: str, state: str, call: Callable[[Any], object], error: type[Exception]
) -> None:
    session = new_session(side) if state == "connecting" else open_session(side)
    if state == "closed":
        close_now(session)
    with pytest.raises(error):
        call(session.driver)
    assert session.driver.state == state
    assert session.events == []
    assert session.wire.take() == b""
    if state == "open":
        assert session.driver.text("still") is True
        assert session.take_frames() == [(0x81, b"still")]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("state", ["connecting", "open"])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda driver: driver.text("\ud800"), UnicodeEncodeError),
        (lambda driver: driver.text("a" * 5000 + "\udfff"), UnicodeEncodeError),
        (lambda driver: driver.binary(None), TypeError),
        (lambda driver: driver.binary(5), TypeError),
        (lambda driver: driver.binary([1, 2]), TypeError),
        (lambda driver: driver.ping("\ud800"), UnicodeEncodeError),
        (lambda driver: driver.close(1000, "\ud800"), UnicodeEncodeError),
    ],
)
def test_message_that_cannot_be_sent_raises_and_nothing_of_it_goes_out(
    side: str, state: str, call: Callable[[Any], object], error: type[Exception]
) -> None:
    session = new_session(side) if state == "connecting" else open_session(side)
    with pytest.raises(error):
        call(session.driver)
    assert session.driver.state == state
    assert session.events == []
    assert session.wire.take() == b""
    assert session.driver.text("still") is True
    if state == "open":
        assert session.take_frames() == [(0x81, b"still")]


def test_frames_of_a_client_have_the_key_of_the_random_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6455 §5.7, masked."""
    monkeypatch.setattr(masking, "random_bytes", lambda size: (MASK * size)[:size])
    masking._forget()
    try:
        session = open_session("client")
        session.driver.text("Hello")
        assert session.wire.take() == bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
        session.driver.pong("Hello")
        assert session.wire.take() == bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58")
    finally:
        masking._forget()


def test_frames_of_a_client_have_each_their_own_key() -> None:
    session = open_session("client")
    for _ in range(200):
        session.driver.binary(b"")
    sent = session.wire.take()
    assert len({sent[i + 2 : i + 6] for i in range(0, len(sent), 6)}) == 200


def test_frames_of_a_server_are_those_of_the_rfc() -> None:
    session = open_session("server")
    session.driver.text("Hello")
    assert session.wire.take() == bytes.fromhex("81 05 48 65 6c 6c 6f")
    session.driver.ping("Hello")
    assert session.wire.take() == bytes.fromhex("89 05 48 65 6c 6c 6f")
    data = payload_of({"fill": "5a", "size": 256})
    session.driver.binary(data)
    assert session.wire.take() == bytes.fromhex("82 7e 01 00") + data
    session.driver.binary(data * 256)
    assert session.wire.take() == bytes.fromhex("82 7f 00 00 00 00 00 01 00 00") + data * 256


def test_text_of_a_subclass_is_sent_as_text() -> None:
    class Name(str):
        __slots__ = ()

    session = open_session("server")
    session.driver.text(Name("Ada"))
    session.driver.text(Name("Z\xeb"))
    assert session.take_frames() == [(0x81, b"Ada"), (0x81, "Z\xeb".encode())]


def test_messages_over_our_own_max_length_are_sent() -> None:
    session = open_session("server", max_length=3)
    assert session.driver.text("longer") is True
    assert session.take_frames() == [(0x81, b"longer")]


# --- before the handshake is done ------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_messages_while_connecting_are_sent_in_order_behind_the_head(side: str) -> None:
    if side == "client":
        session, reply = start_client()
    else:
        session, reply = new_session(side), b""
    driver = session.driver
    assert driver.text("first") is True
    assert driver.binary(b"second") is True
    assert driver.ping("third") is True
    assert driver.pong("fourth") is True
    assert driver.text("fifth") is True
    assert session.wire.take() == b""
    if side == "client":
        session.parse(reply)
    else:
        open_now(session)
        head, session.wire.sent = split_head(session.wire.take())
        assert head.startswith(b"HTTP/1.1 101 ")
    expected = [(0x81, b"first"), (0x82, b"second"), (0x89, b"third"), (0x8A, b"fourth"), (0x81, b"fifth")]
    assert session.take_frames() == expected
    assert session.names[-1] == "open"


def test_messages_before_start_of_a_client_are_sent_after_the_answer() -> None:
    session = new_client()
    assert session.driver.text("early") is True
    assert session.wire.take() == b""
    session.driver.start()
    session.parse(answer(sent_key(session.wire.take())))
    assert session.take_frames() == [(0x81, b"early")]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("code", "reason", "seen"), [(1000, "", 1000), (4000, "bye", 4000), (None, "", 1005)])
def test_close_while_connecting_ends_without_a_handshake(side: str, code: int | None, reason: str, seen: int) -> None:
    session = new_session(side)
    session.driver.text("never sent")
    assert session.driver.close(code, reason) is True
    assert session.events == [("close", seen, reason, False)]
    assert session.driver.state == "closed"
    assert session.driver.start() is False
    assert session.driver.close() is False
    assert session.driver.set_header("X", "1") is False
    if side == "server":
        session.parse(request())
    session.driver.eof()
    assert len(session.events) == 1
    assert session.wire.take() == b""


def test_close_of_a_client_that_has_asked_drops_the_answer() -> None:
    session, reply = start_client()
    assert session.driver.close() is True
    session.parse(reply + session.frame(1, b"late"))
    assert session.events == [("close", 1000, "", False)]


# --- return values ---------------------------------------------------------------------------------------------------

CALLS: list[tuple[str, Callable[[Driver], bool]]] = [
    ("text", lambda driver: driver.text("late")),
    ("binary", lambda driver: driver.binary(b"late")),
    ("ping", lambda driver: driver.ping()),
    ("ping-callback", lambda driver: driver.ping(b"", print)),
    ("pong", lambda driver: driver.pong()),
    ("close", lambda driver: driver.close()),
    ("start", lambda driver: driver.start()),
    ("set_header", lambda driver: driver.set_header("X-A", "b")),
]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("call", [call for _, call in CALLS], ids=[name for name, _ in CALLS])
@pytest.mark.parametrize("state", ["closing", "closed", "failed", "lost"])
def test_call_after_the_end_says_false(side: str, call: Callable[[Driver], bool], state: str) -> None:
    session = open_session(side)
    if state == "closing":
        session.driver.close()
    elif state == "closed":
        close_now(session)
    elif state == "failed":
        session.parse(b"\xff" * 20)
    else:
        session.driver.eof()
    session.forget()
    assert call(session.driver) is False
    assert session.wire.take() == b""
    assert session.events == []


@pytest.mark.parametrize("side", SIDES)
def test_ready_state_goes_through_all_its_values(side: str) -> None:
    session = new_session(side)
    seen = [(session.driver.ready_state, session.driver.state)]
    session = open_session(side)
    seen.append((session.driver.ready_state, session.driver.state))
    session.driver.close()
    seen.append((session.driver.ready_state, session.driver.state))
    session.parse(session.frame(8, b"\x03\xe8"))
    seen.append((session.driver.ready_state, session.driver.state))
    assert seen == [(0, "connecting"), (1, "open"), (2, "closing"), (3, "closed")]


# --- closing (RFC 6455 §7) -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("code", VALID_CODES)
def test_close_with_a_valid_code_is_a_handshake(side: str, code: int) -> None:
    session = open_session(side)
    assert session.driver.close(code, "bye") is True
    assert session.take_frames() == [(0x88, code.to_bytes(2, "big") + b"bye")]
    assert session.driver.state == "closing"
    assert session.driver.close_sent == (code, "bye")
    assert session.driver.close_received is None
    assert session.events == []
    session.parse(session.frame(8, code.to_bytes(2, "big")))
    assert session.events == [("close", code, "", True)]
    assert session.wire.take() == b"", "an answer is not answered"
    assert session.driver.close_received == (code, "")


@pytest.mark.parametrize("side", SIDES)
def test_close_without_a_code_has_an_empty_body(side: str) -> None:
    session = open_session(side)
    assert session.driver.close(None) is True
    assert session.take_frames() == [(0x88, b"")]
    assert session.driver.close_sent == (1005, "")
    session.parse(session.frame(8))
    assert session.events == [("close", 1005, "", True)]
    assert session.driver.close_received == (1005, "")


def test_close_by_default_is_1000() -> None:
    session = open_session("server")
    session.driver.close()
    assert session.take_frames() == [(0x88, b"\x03\xe8")]


@pytest.mark.parametrize("side", BOTH)
@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        ("a" * 123, b"a" * 123),
        ("a" * 124, b"a" * 123),
        ("a" * 5000, b"a" * 123),
        ("\u20ac" * 41, "\u20ac".encode() * 41),
        ("\u20ac" * 42, "\u20ac".encode() * 41),
        ("a" + "\u20ac" * 41, b"a" + "\u20ac".encode() * 40),
        ("aa" + "\u20ac" * 41, b"aa" + "\u20ac".encode() * 40),
        ("aaa" + "\U0001f600" * 40, b"aaa" + "\U0001f600".encode() * 30),
        ("\xe9" * 62, "\xe9".encode() * 61),
    ],
    ids=lambda value: str(len(value)),
)
def test_close_with_a_long_reason_cuts_it_between_characters(side: str, reason: str, sent: bytes) -> None:
    session = open_session(side)
    session.driver.close(1000, reason)
    assert session.take_frames() == [(0x88, b"\x03\xe8" + sent)]


def test_close_sent_has_the_reason_that_was_sent() -> None:
    session = open_session("server")
    session.driver.close(1000, "\u20ac" * 42)
    assert session.driver.close_sent == (1000, "\u20ac" * 41)


def test_close_sent_without_a_code_has_no_reason() -> None:
    session = open_session("server")
    session.driver.close(None, "never sent")
    assert session.take_frames() == [(0x88, b"")]
    assert session.driver.close_sent == (1005, "")


@pytest.mark.parametrize("side", SIDES)
def test_close_of_the_peer_is_kept(side: str) -> None:
    session = open_session(side).parse(open_session(side).frame(8, b"\x0f\xa0bye"))
    assert session.driver.close_received == (4000, "bye")
    assert session.driver.close_sent is not None
    assert session.driver.close_sent[0] == 4000
    assert session.events == [("close", 4000, "bye", True)]


@pytest.mark.parametrize("side", SIDES)
def test_closes_that_cross_are_a_handshake(side: str) -> None:
    session = open_session(side)
    session.driver.close(1001, "ours")
    session.forget()
    session.parse(session.frame(8, b"\x0f\xa0theirs"))
    assert session.events == [("close", 4000, "theirs", True)]
    assert session.wire.take() == b""
    assert session.driver.close_sent == (1001, "ours")


@pytest.mark.parametrize("side", SIDES)
def test_messages_while_closing_still_come_in(side: str) -> None:
    session = open_session(side)
    session.driver.close()
    session.forget()
    session.parse(session.frame(1, b"on its way"), session.frame(9, b"p"), session.frame(8, b"\x03\xe8"))
    assert session.messages == ["on its way"]
    assert session.closes == [("close", 1000, "", True)]
    assert session.wire.take() == b"", "nothing is sent after a close frame (RFC 6455 §5.5.1)"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("bad", [(3, b""), (8, b"\x03"), (8, b"\x03\xed"), (1, b"\xff")])
def test_fault_while_closing_is_an_error_and_sends_nothing(side: str, bad: tuple[int, bytes]) -> None:
    session = open_session(side)
    session.driver.close()
    session.forget()
    session.parse(session.frame(*bad) + session.frame(1, b"late"))
    assert session.names == ["error", "close"]
    assert isinstance(session.error, ProtocolError)
    assert session.closes == [("close", session.error.code, str(session.error), False)]
    assert session.wire.take() == b""


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("closing", [False, True])
def test_eof_without_a_close_frame_is_1006(side: str, closing: bool) -> None:
    session = open_session(side)
    if closing:
        session.driver.close()
    session.parse(session.frame(1, b"half")[:4])
    session.forget()
    session.driver.eof()
    assert session.events == [("close", 1006, "", False)]
    assert session.driver.state == "closed"
    session.driver.eof()
    session.parse(session.frame(1, b"late"))
    assert len(session.events) == 1
    assert session.wire.take() == b""


@pytest.mark.parametrize("side", SIDES)
def test_eof_after_the_closing_handshake_is_no_event(side: str) -> None:
    session = close_now(open_session(side))
    session.driver.eof()
    assert session.events == []


def test_error_of_the_driver_is_a_short_reason() -> None:
    """All reasons that the driver writes by itself fit a close frame."""
    session = open_session("server").parse(open_session("server").frame(8, b"\x13\x88"))
    ((first, body),) = session.take_frames()
    assert first == 0x88
    assert body[2:].decode() == str(session.error)


# --- pings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("data", [b"", b"x", "text", "\u20ac", bytes(125), bytearray(b"ba"), memoryview(b"mv")])
def test_ping_is_sent_and_its_callback_called_once(side: str, data: Any) -> None:
    session = open_session(side)
    called: list[None] = []
    assert session.driver.ping(data, lambda: called.append(None)) is True
    payload = data.encode() if isinstance(data, str) else bytes(data)
    assert session.take_frames() == [(0x89, payload)]
    session.parse(session.frame(10, payload + b"other" if len(payload) < 100 else b"other"))
    assert called == []
    session.parse(session.frame(10, payload))
    assert len(called) == 1
    session.parse(session.frame(10, payload))
    assert len(called) == 1
    assert session.names == ["pong"] * 3


def test_ping_and_pong_without_a_callback_are_sent() -> None:
    session = open_session("server")
    assert session.driver.ping() is True
    assert session.driver.pong() is True
    assert session.driver.pong("p") is True
    assert session.take_frames() == [(0x89, b""), (0x8A, b""), (0x8A, b"p")]


@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"], ["b"]])
def test_ping_callback_is_called_by_its_pong_or_a_later_one(order: list[str]) -> None:
    """RFC 6455 §5.5.3: a peer may answer only the latest of several pings."""
    session = open_session("server")
    called: list[str] = []
    for name in ("a", "b"):
        session.driver.ping(name, lambda name=name: called.append(name))
    for name in order:
        session.parse(session.frame(10, name.encode()))
    assert called == ["a", "b"]


def test_ping_callback_of_an_early_ping_is_called_once() -> None:
    session = new_wsgi()
    called: list[None] = []
    session.driver.ping("early", lambda: called.append(None))
    session.driver.start()
    session.parse(session.frame(10, b"early"))
    assert len(called) == 1


def test_ping_callbacks_of_one_payload_are_all_called() -> None:
    session = open_session("server")
    called: list[int] = []
    session.driver.ping("same", lambda: called.append(1))
    session.driver.ping("same", lambda: called.append(2))
    session.parse(session.frame(10, b"same"), session.frame(10, b"same"))
    assert called == [1, 2]


def test_ping_callbacks_are_bounded() -> None:
    session = open_session("server")
    called: list[int] = []
    for i in range(1001):
        session.driver.ping(str(i), lambda i=i: called.append(i))
    session.parse(session.frame(10, b"0"))
    assert called == [], "the oldest is forgotten"
    session.parse(session.frame(10, b"1000"))
    assert called == list(range(1, 1001))


def test_ping_callback_that_pings_again_is_no_trouble_at_the_bound() -> None:
    session = open_session("server")
    called: list[int] = []

    def callback(i: int) -> None:
        called.append(i)
        for j in range(3):
            session.driver.ping(f"again {i} {j}", lambda: None)

    for i in range(1000):
        session.driver.ping(str(i), lambda i=i: callback(i))
    session.parse(session.frame(10, b"999"), session.frame(1, b"next"))
    assert called[0] == 0
    assert session.events == [("pong", b"999"), ("message", "next")]


def test_ping_callback_that_closes_is_the_last() -> None:
    session = open_session("server")
    session.driver.ping("p", lambda: session.driver.close(1000))
    session.forget()
    session.parse(session.frame(10, b"p"), session.frame(8, b"\x03\xe8"))
    assert session.names == ["pong", "close"]
    assert session.take_frames() == [(0x88, b"\x03\xe8")]


def test_ping_callback_that_raises_loses_no_event() -> None:
    session = open_session("server")

    def callback() -> None:
        raise KeyError("a bug of the application")

    session.driver.ping("p", callback)
    with pytest.raises(KeyError):
        session.parse(session.frame(10, b"p") + session.frame(1, b"next"))
    session.parse(b"")
    assert session.events == [("pong", b"p"), ("message", "next")]


def test_ping_callbacks_are_dropped_at_the_end() -> None:
    class Callback:
        def __call__(self) -> None:
            raise AssertionError("the connection has ended")

    session = open_session("server")
    callback = Callback()
    watch = weakref.ref(callback)
    session.driver.ping("p", callback)
    del callback
    close_now(session)
    gc.collect()
    assert watch() is None


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_lenght": 1}, "max_length"),
        ({"maxlength": 1}, "max_length"),
        ({"max_fragment": 1}, "max_fragments"),
        ({"protocol": ["chat"]}, "protocols"),
        ({"header": {}}, "headers"),
        ({"qqqq": 1}, "max_length"),
        ({"max_length": -1}, "max_length"),
        ({"max_length": "5"}, "max_length"),
        ({"max_length": 1.5}, "max_length"),
        ({"max_length": True}, "max_length"),
        ({"max_length": None}, "max_length"),
        ({"max_fragments": 0}, "max_fragments"),
        ({"max_fragments": 2**31 + 1}, "max_fragments"),
        ({"protocols": "a b"}, "protocols"),
        ({"headers": 5}, "headers"),
        ({"headers": {"X Y": "1"}}, "X Y"),
    ],
)
def test_option_wrong_is_refused_at_the_call(side: str, options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        new_session(side, **options)


def test_configuration_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="did you mean 'protocols'"):
        new_server(protocol=[])


@pytest.mark.parametrize("side", SIDES)
def test_max_length_of_the_greatest_size_is_taken(side: str) -> None:
    """No limit of an int type shows through."""
    session = open_session(side, max_length=2**63, max_fragments=2**31)
    session.parse(session.frame(1, b"fine"))
    assert session.messages == ["fine"]


@pytest.mark.parametrize("max_length", [2**64 - 1, 2**64, 10**30])
def test_max_length_over_all_lengths_is_no_limit(max_length: int) -> None:
    session = open_session("server", max_length=max_length)
    session.parse(session.frame(1, b"fine"))
    assert session.messages == ["fine"]


# --- misuse of parse, and memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["text", None, 5])
def test_parse_of_what_has_no_bytes_is_a_type_error(data: Any) -> None:
    session = open_session("server")
    with pytest.raises(TypeError):
        session.driver.parse(data)
    session.parse(session.frame(1, b"fine"))
    assert session.messages == ["fine"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("make", [new_session, open_session])
def test_parse_of_nothing_is_nothing(side: str, make: Callable[[str], Session]) -> None:
    session = make(side)
    session.parse(b"", bytearray(), memoryview(b""))
    assert session.events == []


def test_feed_of_a_slice_takes_no_other_byte() -> None:
    session = open_session("server")
    data = b"\xff" * 7 + session.frame(1, b"slice") + b"\xff" * 7
    session.driver.feed(data, 7, len(data) - 7)
    session.driver.feed(bytearray(data), 7, len(data) - 7)
    session.driver.feed(memoryview(data), 7, 10)
    session.driver.feed(memoryview(data), 10, len(data) - 7)
    assert session.events == [("message", "slice")] * 3


def test_feed_of_a_slice_while_connecting_takes_no_other_byte() -> None:
    session = new_server()
    session.driver.start()
    data = b"\xff" * 7 + request() + b"\xff" * 7
    session.driver.feed(data, 7, 20)
    session.driver.feed(bytearray(data), 20, len(data) - 7)
    assert session.names == ["connect", "open"]
    session.parse(session.frame(1, b"next"))
    assert session.messages == ["next"]


def test_listeners_of_a_pipelined_burst_keep_order() -> None:
    session = open_session("server")
    session.parse(b"".join(session.frame(1, str(i).encode()) for i in range(1000)))
    assert session.messages == [str(i) for i in range(1000)]


def test_driver_is_freed_with_its_last_reference() -> None:
    session = open_session("server")
    session.parse(session.frame(1, b"half")[:3])
    driver = session.driver
    for name in ("connect", "open", "message", "ping", "pong", "error", "close"):
        driver.off(name)
    watch = weakref.ref(driver)
    session.driver = new_server().driver
    del driver
    gc.collect()
    assert watch() is None


def test_sessions_do_not_share_anything() -> None:
    first, second = open_session("server"), open_session("server")
    parts = [first.frame(1, b"abc"), second.frame(1, b"xyz")]
    for a, b in itertools.zip_longest(*parts):
        first.parse(bytes([a]))
        second.parse(bytes([b]))
    assert (first.messages, second.messages) == (["abc"], ["xyz"])


@pytest.mark.parametrize("side", SIDES)
def test_max_length_set_while_open_counts_from_the_next_message_on(side: str) -> None:
    session = open_session(side, max_length=3)
    assert session.driver.max_length == 3
    session.driver.max_length = 5
    session.parse(session.frame(1, b"12345"))
    assert session.driver.state == "open"
    session.driver.max_length = 4
    assert session.driver.max_length == 4
    with pytest.raises(ConfigurationError, match="max_length"):
        session.driver.max_length = -1
    session.parse(session.frame(1, b"1234") + session.frame(1, b"12345"))
    assert session.driver.close_sent is not None
    assert session.driver.close_sent[0] == 1009


def test_max_length_set_before_the_handshake_counts() -> None:
    session = new_server()
    session.driver.max_length = 3
    open_now(session)
    session.parse(session.frame(1, b"1234"))
    assert session.driver.close_sent is not None
    assert session.driver.close_sent[0] == 1009
