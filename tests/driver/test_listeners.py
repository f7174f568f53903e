"""Listeners may raise, send, close and parse: no byte is lost, and none is seen twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.driving import (
    Seen,
    Session,
    Wire,
    accept_for,
    comparable,
    new_server,
    new_wsgi,
    open_session,
    request,
    split_head,
    start_client,
    unframe,
)
from wsdriver import Driver

SIDES = ("server", "client")


class Boom(Exception):
    """What a listener raises in these tests."""


def frames(session: Session, ending: str) -> bytes:
    """Return a session's frames of all kinds, with an ending of the kind that is asked for."""
    f = session.frame
    data = (
        f(1, b"one")
        + f(9, b"ping")
        + f(2, b"\xff\x00")
        + f(1, b"fra", fin=False)
        + f(10, b"pong")
        + f(0, b"gments")
        + f(1, b"")
        + f(9, b"")
    )
    endings = {
        "close": f(8, b"\x0f\xa0bye") + f(1, b"late"),
        "empty-close": f(8),
        "fault": f(3, b"") + f(1, b"late"),
        "bad-close": f(8, b"\x03"),
        "bad-text": f(1, b"\xff"),
        "none": b"",
    }
    return data + endings[ending]


def begin(side: str) -> tuple[Session, bytes]:
    """Return a session that waits for the peer's half of the opening handshake, and that half."""
    if side == "client":
        return start_client()
    session = new_server()
    session.driver.start()
    return session, request()


def run(side: str, ending: str, raise_at: int, sizes: int) -> list[Seen]:
    """Replay a session in chunks while the listener of the event number ``raise_at`` raises; return all events."""
    session, head = begin(side)
    data = head + frames(session, ending)

    def hook(session: Session, seen: Seen) -> None:
        if len(session.events) == raise_at + 1:
            raise Boom

    session.hook = hook
    raised = 0
    for start in range(0, len(data), sizes):
        try:
            session.driver.parse(data[start : start + sizes])
        except Boom:
            raised += 1
    try:
        session.driver.parse(b"")
    except Boom:
        raised += 1
    assert raised == (0 if raise_at < 0 else 1)
    assert session.driver.state == ("open" if ending == "none" else "closed")
    return comparable(session.events)


ENDINGS = {"close": 1, "empty-close": 1, "fault": 2, "bad-close": 2, "bad-text": 2, "none": 0}

POSITIONS = [
    pytest.param(side, ending, position, id=f"{side}-{ending}-{position}")
    for side in SIDES
    for ending, more in ENDINGS.items()
    for position in range((2 if side == "server" else 1) + 7 + more)
]


@pytest.mark.parametrize("sizes", [10**6, 100, 1])
@pytest.mark.parametrize(("side", "ending", "position"), POSITIONS)
def test_listener_that_raises_loses_and_repeats_no_event(side: str, ending: str, position: int, sizes: int) -> None:
    expected = run(side, ending, -1, sizes)
    assert position < len(expected)
    assert run(side, ending, position, sizes) == expected


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_listener_that_always_raises_sees_each_event_once(side: str, ending: str) -> None:
    expected = run(side, ending, -1, 10**6)
    session, head = begin(side)

    def hook(session: Session, seen: Seen) -> None:
        raise Boom

    session.hook = hook
    data = head + frames(session, ending)
    for _ in range(len(expected) + 1):
        try:
            session.driver.parse(data)
        except Boom:
            pass
        data = b""
    assert comparable(session.events) == expected


def test_listener_that_raises_at_open_in_start_keeps_what_came_early() -> None:
    session = new_wsgi()
    session.driver.text("queued")
    session.parse(session.frame(1, b"early"))

    def hook(session: Session, seen: Seen) -> None:
        if seen[0] == "open":
            raise Boom

    session.hook = hook
    with pytest.raises(Boom):
        session.driver.start()
    assert session.driver.state == "open"
    session.parse(session.frame(1, b"next"))
    assert session.events == [("open",), ("message", "early"), ("message", "next")]
    assert unframe(split_head(session.wire.take())[1], masked=False) == [(0x81, b"queued")]


def test_listener_that_raises_does_not_stop_the_pong() -> None:
    session = open_session("server")
    session.hook = lambda session, seen: (_ for _ in ()).throw(Boom()) if seen[0] == "ping" else None
    with pytest.raises(Boom):
        session.parse(session.frame(9, b"p"))
    assert session.take_frames() == [(0x8A, b"p")]


def test_listener_that_raises_does_not_stop_the_close_reply() -> None:
    session = open_session("server")
    session.hook = lambda session, seen: (_ for _ in ()).throw(Boom())
    with pytest.raises(Boom):
        session.parse(session.frame(8, b"\x03\xe8"))
    assert session.take_frames() == [(0x88, b"\x03\xe8")]
    assert session.driver.state == "closed"
    session.driver.eof()
    assert len(session.closes) == 1


def test_listeners_that_raise_at_error_and_close_give_both_events_once() -> None:
    session = open_session("server")
    session.hook = lambda session, seen: (_ for _ in ()).throw(Boom())
    with pytest.raises(Boom):
        session.parse(session.frame(3))
    session.parse(b"")
    session.driver.eof()
    assert session.names == ["error", "close"]


def test_eof_after_a_listener_raised_delivers_the_rest_first() -> None:
    """What came in before the end of the stream is before it in the events too, and nothing follows a close."""
    session = open_session("server")

    def hook(session: Session, seen: Seen) -> None:
        if seen == ("message", "one"):
            raise Boom

    session.hook = hook
    with pytest.raises(Boom):
        session.parse(session.frame(1, b"one") + session.frame(1, b"two"))
    session.driver.eof()
    session.parse(b"")
    assert session.events == [("message", "one"), ("message", "two"), ("close", 1006, "", False)]


def test_eof_after_a_listener_raised_before_a_close_frame_is_clean() -> None:
    session = open_session("server")

    def hook(session: Session, seen: Seen) -> None:
        if seen[0] == "message":
            raise Boom

    session.hook = hook
    with pytest.raises(Boom):
        session.parse(session.frame(1, b"one") + session.frame(8, b"\x03\xe8"))
    session.driver.eof()
    session.parse(b"")
    assert session.events == [("message", "one"), ("close", 1000, "", True)]


@pytest.mark.parametrize("side", SIDES)
def test_eof_after_a_listener_raised_at_open_delivers_what_came_early(side: str) -> None:
    session, head = begin(side)

    def hook(session: Session, seen: Seen) -> None:
        if seen[0] == "open":
            raise Boom

    session.hook = hook
    with pytest.raises(Boom):
        session.parse(head + session.frame(1, b"early"))
    session.driver.eof()
    assert session.events[-2:] == [("message", "early"), ("close", 1006, "", False)]


def test_eof_after_a_listener_raised_before_a_fault_tells_the_fault() -> None:
    session = open_session("server")

    def hook(session: Session, seen: Seen) -> None:
        if seen[0] == "message":
            raise Boom

    session.hook = hook
    with pytest.raises(Boom):
        session.parse(session.frame(1, b"one") + session.frame(3))
    session.driver.eof()
    assert session.names == ["message", "error", "close"]
    assert session.closes[0][1] == 1002


def test_eof_after_a_listener_raises_again_loses_nothing() -> None:
    session = open_session("server")

    def hook(session: Session, seen: Seen) -> None:
        raise Boom

    session.hook = hook
    with pytest.raises(Boom):
        session.parse(session.frame(1, b"one") + session.frame(1, b"two") + session.frame(1, b"three"))
    for _ in range(4):
        try:
            session.driver.eof()
        except Boom:
            pass
    assert session.events == [("message", name) for name in ("one", "two", "three")] + [("close", 1006, "", False)]


@pytest.mark.parametrize("more", ["message", "fault", "close"])
def test_listener_that_calls_eof_is_followed_by_nothing_but_one_close(more: str) -> None:
    session = open_session("server")

    def hook(session: Session, seen: Seen) -> None:
        if seen[0] == "message":
            session.driver.eof()

    session.hook = hook
    behind = {"message": session.frame(1, b"two"), "fault": session.frame(3), "close": session.frame(8)}[more]
    session.parse(session.frame(1, b"one") + behind)
    session.parse(b"")
    assert len(session.closes) == 1
    assert session.names[-1] == "close"


# --- listeners that act ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", SIDES)
def test_listener_that_echoes_keeps_the_order_of_pongs_and_messages(side: str) -> None:
    session = open_session(side)
    session.hook = lambda session, seen: session.driver.text(seen[1]) if seen[0] == "message" else None
    session.parse(
        session.frame(1, b"a") + session.frame(9, b"p") + session.frame(1, b"b") + session.frame(8, b"\x03\xe8")
    )
    assert session.take_frames()[:3] == [(0x81, b"a"), (0x8A, b"p"), (0x81, b"b")]


@pytest.mark.parametrize("side", SIDES)
def test_listener_that_sends_at_open_sends_behind_what_was_queued(side: str) -> None:
    session, head = begin(side)
    session.driver.text("queued")
    session.hook = lambda session, seen: session.driver.text("at open") if seen[0] == "open" else None
    session.parse(head)
    if side == "server":
        session.wire.sent = split_head(session.wire.take())[1]
    assert session.take_frames() == [(0x81, b"queued"), (0x81, b"at open")]


def test_listener_that_sends_at_connect_queues() -> None:
    session, head = begin("server")
    session.hook = lambda session, seen: session.driver.text("at connect") if seen[0] == "connect" else None
    session.parse(head)
    assert unframe(split_head(session.wire.take())[1], masked=False) == [(0x81, b"at connect")]


@pytest.mark.parametrize("event", ["ping", "pong", "message"])
def test_listener_that_sends_at_an_event_sends(event: str) -> None:
    session = open_session("server")
    session.hook = lambda session, seen: session.driver.binary(b"x") if seen[0] == event else None
    session.parse(session.frame({"ping": 9, "pong": 10, "message": 1}[event], b"p"))
    assert session.take_frames()[-1] == (0x82, b"x")


@pytest.mark.parametrize("side", SIDES)
def test_listener_that_closes_ends_with_one_close(side: str) -> None:
    session = open_session(side)
    session.hook = lambda session, seen: session.driver.close(4000, "enough") if seen[0] == "message" else None
    session.parse(session.frame(1, b"one") + session.frame(9, b"p") + session.frame(8, b"\x0f\xa0"))
    assert session.take_frames() == [(0x88, b"\x0f\xa0enough")]
    assert session.closes == [("close", 4000, "", True)]
    assert session.driver.state == "closed"


def test_listener_that_closes_at_connect_ends_before_the_handshake() -> None:
    session, head = begin("server")
    session.hook = lambda session, seen: session.driver.close() if seen[0] == "connect" else None
    session.parse(head + session.frame(1, b"early"))
    assert session.events == [("connect",), ("close", 1000, "", False)]
    assert session.wire.take() == b""


@pytest.mark.parametrize("side", SIDES)
def test_listener_that_closes_at_open_answers_early_bytes_rightly(side: str) -> None:
    session, head = begin(side)
    session.hook = lambda session, seen: session.driver.close() if seen[0] == "open" else None
    session.parse(head + session.frame(9, b"p") + session.frame(8, b"\x03\xe8"))
    if side == "server":
        session.wire.sent = split_head(session.wire.take())[1]
    assert session.take_frames() == [(0x88, b"\x03\xe8")]
    assert session.closes == [("close", 1000, "", True)]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("call", ["text", "ping", "close", "eof", "parse"])
@pytest.mark.parametrize("at", ["error", "close"])
def test_listener_that_acts_at_the_end_changes_nothing(side: str, call: str, at: str) -> None:
    session = open_session(side)

    def hook(session: Session, seen: Seen) -> None:
        if seen[0] != at:
            return
        driver = session.driver
        calls: dict[str, Callable[[], Any]] = {
            "text": lambda: driver.text("late"),
            "ping": driver.ping,
            "close": driver.close,
            "eof": driver.eof,
            "parse": lambda: driver.parse(session.frame(1, b"late")),
        }
        assert not calls[call]()

    session.hook = hook
    session.parse(session.frame(3) + session.frame(1, b"late"))
    assert session.names == ["error", "close"]
    assert [first for first, _ in session.take_frames()] == [0x88]


@pytest.mark.parametrize("side", SIDES)
def test_listener_that_parses_more_keeps_the_order_of_bytes(side: str) -> None:
    session = open_session(side)

    def hook(session: Session, seen: Seen) -> None:
        if seen == ("message", "one"):
            session.driver.parse(session.frame(1, b"three") + session.frame(9, b"p") + session.frame(1, b"half")[:3])
            assert session.messages == ["one"], "the events of an inner call come after those of the outer"

    session.hook = hook
    session.parse(session.frame(1, b"one") + session.frame(1, b"two"))
    session.parse(session.frame(1, b"half")[3:])
    assert session.events == [
        ("message", "one"),
        ("message", "two"),
        ("message", "three"),
        ("ping", b"p"),
        ("message", "half"),
    ]


@pytest.mark.parametrize("side", SIDES)
def test_listener_that_parses_a_fault_gets_it_behind_the_messages(side: str) -> None:
    session = open_session(side)

    def hook(session: Session, seen: Seen) -> None:
        if seen == ("message", "one"):
            session.driver.parse(session.frame(3))

    session.hook = hook
    session.parse(session.frame(1, b"one") + session.frame(1, b"two"))
    assert session.names == ["message", "message", "error", "close"]


@pytest.mark.parametrize("at", ["connect", "open"])
def test_listener_that_parses_in_the_handshake_loses_nothing(at: str) -> None:
    session, head = begin("server")

    def hook(session: Session, seen: Seen) -> None:
        if seen[0] == at:
            session.driver.parse(session.frame(1, b"inner"))

    session.hook = hook
    session.parse(head + session.frame(1, b"behind"))
    assert session.names == ["connect", "open", "message", "message"]
    assert session.messages == ["behind", "inner"]


def test_listener_that_starts_twice_is_told() -> None:
    session = new_server()
    results = []
    session.driver.on("connect", lambda event: results.extend([session.driver.start(), session.driver.start()]))
    session.parse(request())
    assert results == [True, False]
    assert session.names == ["connect", "open"]


# --- listeners as such -----------------------------------------------------------------------------------------------


def test_listeners_of_one_event_are_called_in_order() -> None:
    session = open_session("server")
    called: list[int] = []
    session.driver.on("message", lambda event: called.append(1))

    @session.driver.on("message")  # type: ignore[untyped-decorator]
    def second(event: object) -> None:
        called.append(2)

    session.parse(session.frame(1, b"a"))
    assert called == [1, 2]
    assert callable(second)
    session.driver.off("message", second)
    session.parse(session.frame(1, b"a"))
    assert called == [1, 2, 1]
    session.driver.off("message")
    session.parse(session.frame(1, b"a"))
    assert called == [1, 2, 1]
    assert len(session.messages) == 2


@pytest.mark.parametrize("name", ["mesage", "Message", "", "data", None])
@pytest.mark.parametrize("method", ["on", "off"])
@pytest.mark.parametrize("used", [True, False])
def test_event_unknown_is_a_value_error(name: Any, method: str, used: bool) -> None:
    driver = open_session("server").driver if used else Driver.server(None)
    with pytest.raises(ValueError, match="the events are connect, open, message, ping, pong, error, close"):
        getattr(driver, method)(name, print)


def test_driver_without_listeners_works() -> None:
    wire = Wire()
    driver = Driver.server(wire)
    driver.start()
    driver.parse(request())
    assert accept_for("dGhlIHNhbXBsZSBub25jZQ==").encode() in wire.take()
    driver.off("message")
    session = open_session("server")
    driver.parse(session.frame(9, b"p") + session.frame(10) + session.frame(1, b"x") + session.frame(8))
    assert unframe(wire.take(), masked=False) == [(0x8A, b"p"), (0x88, b"")]
    assert driver.state == "closed"


def test_write_that_raises_keeps_the_end_to_one_close() -> None:
    """A host's write may raise (a broken pipe): the driver's state has moved before, and the end is still told."""
    session = open_session("server")

    def write(data: bytes) -> None:
        raise BrokenPipeError

    session.wire.write = write  # type: ignore[method-assign]
    with pytest.raises(BrokenPipeError):
        session.parse(session.frame(1, b"one") + session.frame(8, b"\x03\xe8"))
    session.driver.eof()
    assert session.messages == ["one"]
    assert len(session.closes) == 1
