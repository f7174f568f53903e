"""A client and a server driver face to face."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.driving import EVENTS, Seen, Session, comparable, describe, new_client, new_server, pieces
from wsdriver import Driver


class Loop:
    """A wire whose bytes are in the other driver at once, inside of ``write``."""

    def __init__(self) -> None:
        self.url = "ws://localhost/"
        self.peer: Driver

    def write(self, data: bytes) -> None:
        self.peer.parse(data)


def record(driver: Driver) -> list[Seen]:
    events: list[Seen] = []
    for name in EVENTS:
        driver.on(name, lambda event, name=name: events.append(describe(name, event)))
    return events


def loops() -> tuple[Driver, list[Seen], Driver, list[Seen]]:
    """Return a client and a server, wired to each other without any buffer, and their events."""
    near, far = Loop(), Loop()
    client, server = Driver.client(near), Driver.server(far)
    near.peer, far.peer = server, client
    return client, record(client), server, record(server)


def test_pair_without_buffers_opens_talks_and_closes() -> None:
    client, client_events, server, server_events = loops()
    server.start()
    client.start()
    assert client_events == [("open",)]
    assert server_events == [("connect",), ("open",)]
    server.on("message", lambda event: server.text(event.data.upper()))
    client.text("hello")
    called: list[int] = []
    client.ping(b"p", lambda: called.append(1))
    server.binary(b"\xff")
    client.close(4000, "bye")
    assert called == [1]
    assert client_events == [
        ("open",),
        ("message", "HELLO"),
        ("pong", b"p"),
        ("message", b"\xff"),
        ("close", 4000, "bye", True),
    ]
    assert server_events == [
        ("connect",),
        ("open",),
        ("message", "hello"),
        ("ping", b"p"),
        ("close", 4000, "bye", True),
    ]


def test_pair_without_buffers_tells_open_before_the_first_message() -> None:
    """The first message may be there before the write of the answer has returned."""
    client, client_events, server, server_events = loops()
    client.on("open", lambda event: client.text("at once"))
    server.on("open", lambda event: server.text("welcome"))
    server.text("queued")
    server.start()
    client.start()
    assert server_events == [("connect",), ("open",), ("message", "at once")]
    assert client_events == [("open",), ("message", "queued"), ("message", "welcome")]


def test_pair_without_buffers_plays_ping_pong() -> None:
    client, client_events, server, server_events = loops()
    server.on("message", lambda event: server.text(str(int(event.data) + 1)))
    client.on("message", lambda event: client.text(str(int(event.data) + 1)) if int(event.data) < 100 else None)
    server.start()
    client.start()
    client.text("0")
    assert [event[1] for event in client_events if event[0] == "message"] == [str(i) for i in range(1, 102, 2)]
    assert [event[1] for event in server_events if event[0] == "message"] == [str(i) for i in range(0, 101, 2)]


@pytest.mark.parametrize("who", ["client", "server"])
def test_pair_without_buffers_fails_once(who: str) -> None:
    client, client_events, server, server_events = loops()
    server.start()
    client.start()
    victim, events = (client, client_events) if who == "client" else (server, server_events)
    victim.parse(b"\x83\x00\x83\x80")
    assert [event[0] for event in events[-2:]] == ["error", "close"]
    for log in (client_events, server_events):
        assert [event[0] for event in log].count("close") == 1
    assert (client.state, server.state) == ("closed", "closed")


# --- any conversation, over a wire that delays and cuts --------------------------------------------------------------

actions = st.lists(
    st.tuples(
        st.sampled_from(["client", "server"]),
        st.one_of(
            st.tuples(st.just("text"), st.text(max_size=30)),
            st.tuples(st.just("binary"), st.binary(max_size=200)),
            st.tuples(st.just("ping"), st.binary(max_size=125)),
            st.tuples(st.just("pong"), st.binary(max_size=125)),
            st.tuples(st.just("close"), st.sampled_from([1000, 3000, 4999])),
            st.tuples(st.just("deliver"), st.integers(0, 2**32)),
        ),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(script=actions, seed=st.integers(0, 2**32))
def test_pair_over_any_wire_delivers_each_message_once_and_in_order(
    script: list[tuple[str, tuple[str, str | bytes | int]]], seed: int
) -> None:
    rng = random.Random(seed)
    ends: dict[str, Session] = {"client": new_client(), "server": new_server()}
    other = {"client": "server", "server": "client"}
    sent: dict[str, list[str | bytes]] = {"client": [], "server": []}
    for end in ends.values():
        end.driver.start()

    def deliver(name: str) -> None:
        """Carry what that side has written to the other one, in pieces."""
        data = ends[name].wire.take()
        ends[other[name]].replay(pieces(data, sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(4)))))

    for name, (action, argument) in script:
        driver = ends[name].driver
        if action == "deliver":
            deliver(name)
            continue
        method: Callable[..., bool] = getattr(driver, action)
        if action == "close" and driver.state == "connecting":
            continue  # ends without a closing handshake; shown elsewhere
        if method(argument) and action in ("text", "binary"):
            assert isinstance(argument, (str, bytes))
            sent[name].append(argument)
    while any(end.wire.sent for end in ends.values()):
        for name in ends:
            deliver(name)
    for name, end in ends.items():
        assert end.messages == sent[other[name]]
        assert end.names.count("error") == 0
        assert end.names.count("open") == 1
        assert len(end.closes) <= 1
    closes = [end.closes for end in ends.values()]
    assert len(closes[0]) == len(closes[1])
    assert all(close[3] is True for seen in closes for close in seen)


def test_pair_over_a_wire_that_is_cut_is_1006_on_both_sides() -> None:
    client, server = new_client(), new_server()
    server.driver.start()
    client.driver.start()
    server.parse(client.wire.take())
    client.parse(server.wire.take())
    client.driver.text("never there")
    client.driver.eof()
    server.driver.eof()
    assert comparable(client.events) == [("open",), ("close", 1006, "", False)]
    assert comparable(server.events) == [("connect",), ("open",), ("close", 1006, "", False)]
