"""A driver with an observer: messages stay in the inbox, bytes in the outbox; only rare events are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.driving import (
    EVENTS,
    Seen,
    Wire,
    describe,
    frame,
    parse_head,
    request,
    sent_key,
    split_head,
    unframe,
    wsgi_environ,
)
from tests.support.driving import answer as answer_to
from wsdriver import Driver, ProtocolError
from wsdriver.framing import hybi


@dataclass
class Observer:
    """Writes down what it is told."""

    blocked: bool = False
    events: list[Seen] = field(default_factory=list)

    def driver_event(self, name: str, event: object) -> None:
        self.events.append(describe(name, event))

    def is_blocked(self) -> bool:
        return self.blocked


def observe(side: str = "server", keeps_controls: bool = False, **options: Any) -> tuple[Driver, Observer, Wire]:
    """Return an open driver with an observer, and a wire that nobody may write to."""
    wire = Wire(environ=wsgi_environ())
    make = {"server": Driver.server, "client": Driver.client, "wsgi": Driver.wsgi}[side]
    driver = make(wire, **options)
    driver.observer = observer = Observer()
    driver.keeps_controls = keeps_controls
    driver.start()
    if side == "server":
        driver.parse(request())
    elif side == "client":
        driver.parse(answer_to(sent_key(take(driver))))
    if side != "client":
        head, rest = split_head(take(driver))
        assert parse_head(head)[0].startswith("HTTP/1.1 101")
        assert rest == b""
    assert observer.events == ([("connect",), ("open",)] if side == "server" else [("open",)])
    observer.events.clear()
    return driver, observer, wire


def take(driver: Driver) -> bytes:
    """Take the outbox, as an observer does."""
    data = bytes(driver.outbox)
    driver.outbox.clear()
    return data


def incoming(side: str, opcode: int, payload: bytes = b"", **kwargs: Any) -> bytes:
    return frame(opcode, payload, **kwargs) if side != "client" else frame(opcode, payload, mask=None, **kwargs)


SIDES = ("server", "wsgi", "client")


@pytest.mark.parametrize("keeps_controls", [False, True])
@pytest.mark.parametrize("side", SIDES)
def test_observer_finds_messages_in_the_inbox_and_bytes_in_the_outbox(side: str, keeps_controls: bool) -> None:
    driver, observer, wire = observe(side, keeps_controls)
    driver.parse(incoming(side, 1, b"text") + incoming(side, 9, b"p") + incoming(side, 2, b"bytes"))
    driver.parse(incoming(side, 10, b"q") + incoming(side, 1, b"more"))
    items = ["text", (9, b"p", 0), b"bytes", (10, b"q", 0), "more"]
    assert driver.inbox == [item for item in items if keeps_controls or not isinstance(item, tuple)]
    assert unframe(take(driver), masked=side == "client") == [(0x8A, b"p")]
    driver.text("out")
    assert driver.send_data(2, b"data") is True
    assert driver.send_data(1, "text") is True
    expected = [(0x81, b"out"), (0x82, b"data"), (0x81, b"text")]
    assert unframe(take(driver), masked=side == "client") == expected
    assert observer.events == []
    assert wire.sent == b""


def test_observer_that_takes_the_inbox_gets_each_message_once() -> None:
    driver, _, _ = observe(keeps_controls=True)
    driver.parse(incoming("server", 1, b"a") + incoming("server", 9, b"p"))
    assert driver.take_inbox([]) == ["a", (9, b"p", 0)]
    driver.parse(incoming("server", 1, b"b"))
    spare: list[Any] = []
    assert driver.take_inbox(spare) == ["b"]
    assert driver.inbox is spare
    driver.parse(incoming("server", 9, b"q"))
    assert spare == [(9, b"q", 0)]
    assert unframe(take(driver), masked=False) == [(0x8A, b"p"), (0x8A, b"q")]


@pytest.mark.parametrize("side", SIDES)
def test_observer_is_told_of_the_close(side: str) -> None:
    driver, observer, wire = observe(side)
    driver.parse(incoming(side, 1, b"last") + incoming(side, 8, b"\x03\xe8bye") + incoming(side, 1, b"late"))
    assert observer.events == [("close", 1000, "bye", True)]
    assert driver.inbox == ["last"]
    ((first, body),) = unframe(take(driver), masked=side == "client")
    assert (first, body[:2]) == (0x88, b"\x03\xe8")
    assert driver.send_data(1, "late") is False
    assert driver.send_head(1, 5) is False
    assert take(driver) == wire.sent == b""


@pytest.mark.parametrize("side", SIDES)
def test_observer_is_told_of_a_fault_behind_the_messages_before_it(side: str) -> None:
    driver, observer, _ = observe(side)
    driver.parse(incoming(side, 1, b"good") + incoming(side, 9, b"p") + incoming(side, 3) + incoming(side, 1, b"late"))
    assert driver.inbox == ["good"]
    (error, close) = observer.events
    assert isinstance(error[1], ProtocolError)
    assert close == ("close", 1002, str(error[1]), False)
    frames = unframe(take(driver), masked=side == "client")
    assert frames == [(0x8A, b"p"), (0x88, b"\x03\xea" + str(error[1]).encode())]


def finish(driver: Driver, rest: bytes) -> int:
    """Give the driver the rest of a message where it wants it; return how much of that went past ``feed``."""
    room = driver.room(2**20)
    if room is None:  # the plain decoder has none
        driver.parse(rest)
        return 0
    room[:] = rest[: len(room)]
    count = len(room)
    driver.filled(count)
    driver.parse(rest[count:])
    return count


@pytest.mark.parametrize("side", SIDES)
def test_observer_may_read_a_large_message_to_where_it_belongs(side: str) -> None:
    driver, observer, _ = observe(side)
    for opcode, payload, message in ((2, bytes(range(250)) * 400, None), (1, b"x" * 100_000, "x" * 100_000)):
        data = incoming(side, 9, b"p") + incoming(side, opcode, payload) + incoming(side, 9, b"q")
        driver.parse(data[:1000])
        count = finish(driver, data[1000:])
        assert count in (0, len(incoming(side, 9, b"p") + incoming(side, opcode, payload)) - 1000)
        assert (count > 0) == hybi.COMPILED
        assert driver.take_inbox([]) == [payload if message is None else message]
        assert unframe(take(driver), masked=side == "client") == [(0x8A, b"p"), (0x8A, b"q")]
    assert observer.events == []
    assert driver.room(2**20) is None


@pytest.mark.parametrize("side", SIDES)
def test_observer_is_told_of_a_fault_in_a_large_message(side: str) -> None:
    driver, observer, _ = observe(side)
    data = incoming(side, 1, b"x" * 99_999 + b"\xff")
    driver.parse(data[:1000])
    finish(driver, data[1000:])
    assert driver.inbox == []
    assert [event[0] for event in observer.events] == ["error", "close"]
    assert observer.events[1][1] == 1007
    assert driver.room(2**20) is None


@pytest.mark.parametrize("side", SIDES)
def test_observer_is_told_of_a_loss(side: str) -> None:
    driver, observer, _ = observe(side)
    driver.eof()
    assert observer.events == [("close", 1006, "", False)]


def test_observer_is_told_of_a_refusal() -> None:
    wire = Wire()
    driver = Driver.server(wire)
    driver.observer = observer = Observer()
    driver.start()
    driver.parse(b"\x16\x03\x01")
    assert [event[0] for event in observer.events] == ["error", "close"]
    assert split_head(take(driver))[0].startswith(b"HTTP/1.1 400 ")
    assert wire.sent == b""


@pytest.mark.parametrize("keeps_controls", [False, True])
@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_observer_that_takes_nothing_has_bounded_control_frames(size: int, keeps_controls: bool) -> None:
    """The inbox is bounded by who reads the messages; pings and pongs must not fill it meanwhile."""
    driver, _, _ = observe(keeps_controls=keeps_controls)
    data = b"".join(incoming("server", 9 + i % 2, b"%d" % i) for i in range(3000)) + incoming("server", 1, b"last")
    for start in range(0, len(data), size):
        driver.parse(data[start : start + size])
    assert driver.inbox[-1] == "last"
    kept = 1024 if keeps_controls else 0
    assert driver.inbox[:-1] == [(9 + i % 2, b"%d" % i, 0) for i in range(kept)]
    assert len(unframe(take(driver), masked=False)) == 1500


def test_ping_callback_that_raises_with_an_observer_repeats_nothing() -> None:
    driver, _, _ = observe(keeps_controls=True)

    def callback() -> None:
        raise KeyError("a bug of the application")

    driver.ping(b"p", callback)
    take(driver)
    f = incoming
    data = f("server", 1, b"a") + f("server", 9, b"1") + f("server", 10, b"p") + f("server", 9, b"2")
    with pytest.raises(KeyError):
        driver.parse(data + f("server", 1, b"b"))
    driver.parse(b"")
    assert unframe(take(driver), masked=False) == [(0x8A, b"1"), (0x8A, b"2")]
    assert driver.inbox == ["a", (9, b"1", 0), (10, b"p", 0), (9, b"2", 0), "b"]


def test_observer_that_is_blocked_gets_the_latest_pong_only() -> None:
    """CVE-2026-11586: a flood of pings from a peer that does not read."""
    driver, observer, _ = observe()
    observer.blocked = True
    for i in range(1000):
        driver.parse(incoming("server", 9, b"%d" % i))
    assert take(driver) == b""
    driver.write_late_pong()
    assert unframe(take(driver), masked=False) == [(0x8A, b"999")]
    driver.write_late_pong()
    assert take(driver) == b""
    observer.blocked = False
    driver.parse(incoming("server", 9, b"again"))
    assert unframe(take(driver), masked=False) == [(0x8A, b"again")]


@pytest.mark.parametrize("end", ["close", "eof"])
def test_late_pong_after_the_end_is_not_sent(end: str) -> None:
    driver, observer, _ = observe()
    observer.blocked = True
    driver.parse(incoming("server", 9, b"p"))
    if end == "close":
        driver.close()
        take(driver)
    else:
        driver.eof()
    driver.write_late_pong()
    assert take(driver) == b""


def test_ping_callback_with_an_observer_is_called() -> None:
    driver, observer, _ = observe()
    called: list[None] = []
    driver.ping(b"p", lambda: called.append(None))
    driver.parse(incoming("server", 10, b"p"))
    assert len(called) == 1
    assert observer.events == []


def test_observer_and_listeners_both_hear_of_rare_events() -> None:
    driver, observer, _ = observe()
    heard: list[Seen] = []
    for name in EVENTS:
        driver.on(name, lambda event, name=name: heard.append(describe(name, event)))
    driver.parse(incoming("server", 1, b"stays") + incoming("server", 8))
    assert heard == observer.events == [("close", 1005, "", True)]
    assert driver.inbox == ["stays"]


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "82 00"),
        (5, "82 05"),
        (125, "82 7d"),
        (126, "82 7e 00 7e"),
        (65535, "82 7e ff ff"),
        (65536, "82 7f 00 00 00 00 00 01 00 00"),
        (2**32, "82 7f 00 00 00 01 00 00 00 00"),
    ],
)
def test_send_head_writes_the_head_alone(size: int, head: str) -> None:
    driver, _, _ = observe("wsgi")
    assert driver.send_head(2, size) is True
    assert take(driver) == bytes.fromhex(head)


def test_send_data_before_the_answer_is_refused() -> None:
    driver = Driver.server(Wire())
    driver.observer = Observer()
    assert driver.send_data(1, "early") is False
    assert driver.send_head(1, 5) is False
    assert take(driver) == b""
