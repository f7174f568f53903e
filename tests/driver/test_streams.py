"""Node's shape: ``driver.io`` and ``driver.messages``, their order, back-pressure and ends.

A client and a server are joined by nothing but ``io.read()`` and ``io.write()``, or by their ``data`` events.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.driving import CHUNKINGS, MASK, Wire, answer, cut, frame, request, sent_key, unframe
from wsdriver import ConfigurationError, Driver, ProtocolError
from wsdriver.driver.streams import HIGH_WATER_BYTES, HIGH_WATER_MESSAGES, IO, Messages

STREAM_EVENTS = ("data", "end", "error", "drain", "close")


def new_pair(**options: Any) -> tuple[Driver, Driver]:
    """Return a client that has asked, and a server that will answer."""
    client, server = Driver.client("ws://localhost/chat?x", **options), Driver.server(**options)
    server.on("connect", lambda event: server.start())
    client.start()
    return client, server


def pump(one: Driver, other: Driver, how: str = "whole", seed: str = "") -> None:
    """Carry bytes both ways until there are none, whatever ``write`` returns."""
    moved = True
    while moved:
        moved = False
        for source, sink in ((one, other), (other, one)):
            if data := source.io.read():
                moved = True
                for chunk in cut(data, how, seed):
                    sink.io.write(chunk)


def open_pair(**options: Any) -> tuple[Driver, Driver]:
    client, server = new_pair(**options)
    pump(client, server)
    assert client.state == server.state == "open"
    return client, server


def open_server() -> Driver:
    """Return a server whose peer is the test."""
    server = Driver.server()
    server.io.write(request())
    server.start()
    assert server.io.read().startswith(b"HTTP/1.1 101 ")
    return server


def is_over(driver: Driver) -> bool:
    """Tell whether nothing goes in or out on either side any more."""
    io, messages = driver.io, driver.messages
    return not any((io.readable, io.writable, messages.readable, messages.writable))


def text(payload: bytes) -> bytes:
    return frame(1, payload, mask=MASK)


CLOSE_1000 = frame(8, b"\x03\xe8", mask=MASK)


class Log:
    """What a stream told, in order."""

    def __init__(self, *streams: IO | Messages, events: tuple[str, ...] = STREAM_EVENTS) -> None:
        self.seen: list[tuple[Any, ...]] = []
        for stream in streams:
            for event in events:
                stream.on(event, self._listener(event))

    def _listener(self, event: str) -> Callable[..., None]:
        return lambda *arguments: self.seen.append((event, *arguments))

    @property
    def names(self) -> list[str]:
        return [event[0] for event in self.seen]

    def take(self) -> list[tuple[Any, ...]]:
        seen, self.seen = self.seen, []
        return seen


BUT_DATA = tuple(event for event in STREAM_EVENTS if event != "data")


# --- joined by read and write ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", CHUNKINGS)
def test_pair_by_io_alone_talks_both_ways(how: str) -> None:
    client, server = new_pair(protocols=["chat"])
    assert client.state == server.state == "connecting"
    assert client.url == "ws://localhost/chat?x"
    sent: list[str | bytes] = ["", b"", "h\u00e9llo", b"\x00\xff" * 400, "\U0001f600" * 3000]
    for message in sent:
        assert client.messages.write(message) is True  # queued until it is open
    pump(client, server, how, "up")
    assert client.state == server.state == "open"
    assert (client.protocol, server.protocol, server.path) == ("chat", "chat", "/chat")
    assert list(server.messages) == sent
    assert list(server.messages) == []
    for message in sent:
        assert server.messages.write(message) is True
    pump(client, server, how, "down")
    assert list(client.messages) == sent


def test_write_sends_str_as_text_and_bytes_like_as_binary() -> None:
    server = open_server()
    for message in ("a", b"b", bytearray(b"c"), memoryview(b"d")):
        assert server.messages.write(message) is True
    frames = unframe(server.io.read(), masked=False)
    assert frames == [(0x81, b"a"), (0x82, b"b"), (0x82, b"c"), (0x82, b"d")]
    for wrong in (None, 5, ["x"]):
        with pytest.raises(TypeError):
            server.messages.write(wrong)  # type: ignore[arg-type]
    assert server.io.read() == b""


def test_iteration_stops_without_blocking_and_goes_on_later() -> None:
    server = open_server()
    assert list(server.messages) == []
    server.io.write(text(b"1") + text(b"2") + text(b"3"))
    for message in server.messages:
        assert message == "1"
        break
    assert server.messages.read() == "2"
    assert next(iter(server.messages)) == "3"
    assert server.messages.read() is None
    server.io.write(text(b"4"))
    assert list(server.messages) == ["4"]
    assert server.messages.readable


def test_empty_messages_are_messages() -> None:
    server = open_server()
    server.io.write(text(b"") + frame(2, b"", mask=MASK) + text(b"x"))
    assert server.messages.read() == ""
    assert server.messages.read() == b""
    assert list(server.messages) == ["x"]


def test_message_in_the_segment_of_the_answer_is_there_at_the_first_look() -> None:
    client = Driver.client("ws://localhost/")
    client.start()
    head = client.io.read()
    client.io.write(answer(sent_key(head)) + frame(1, b"early", mask=None))
    assert list(client.messages) == ["early"]


def test_messages_and_io_are_the_same_objects_each_time() -> None:
    client, server = open_pair()
    assert client.io is client.io
    assert server.messages is server.messages
    assert isinstance(client.io, IO)
    assert isinstance(client.messages, Messages)


# --- events ----------------------------------------------------------------------------------------------------------


def test_data_events_join_two_drivers() -> None:
    client, server = Driver.client("ws://localhost/"), Driver.server()
    server.on("connect", lambda event: server.start())
    client.io.on("data", server.io.write)
    server.io.on("data", client.io.write)
    server.messages.on("data", server.messages.write)  # echo
    got: list[str | bytes] = []
    client.messages.on("data", got.append)
    client.start()
    assert client.state == server.state == "open"
    assert client.io.read() == server.io.read() == b""
    for number in range(100):
        assert client.messages.write(str(number)) is True
    assert got == [str(number) for number in range(100)]
    ends = Log(client.io, server.io, client.messages, server.messages, events=("end", "close"))
    client.messages.end()
    assert client.state == server.state == "closed"
    assert sorted(ends.names) == ["close"] * 4 + ["end"] * 4


def test_listeners_that_answer_inside_each_other_keep_the_order() -> None:
    client, server = Driver.client("ws://localhost/"), Driver.server()
    server.on("connect", lambda event: server.start())
    client.io.on("data", server.io.write)
    server.io.on("data", client.io.write)
    tape: list[str | bytes] = []

    def count_down(message: str | bytes) -> None:
        tape.append(message)
        for reply in range(int(message)):
            client.messages.write(str(reply))

    server.messages.on("data", server.messages.write)
    client.messages.on("data", count_down)
    client.start()
    client.messages.write("3")
    # What is sent first comes first: breadth, not depth.
    assert tape == ["3", "0", "1", "2", "0", "0", "1", "0"]


def test_listener_for_data_first_gets_what_waits() -> None:
    client = Driver.client("ws://localhost/")
    client.start()
    out: list[bytes] = []

    @client.io.on("data")
    def keep(data: bytes) -> None:
        out.append(data)

    assert out[0].startswith(b"GET / HTTP/1.1\r\n")
    assert client.io.read() == b""
    server = open_server()
    server.io.write(text(b"1") + text(b"2"))
    got: list[str | bytes] = []
    server.messages.on("data", got.append)
    server.io.write(text(b"3"))
    assert got == ["1", "2", "3"]
    assert list(server.messages) == []


def test_without_its_listener_data_is_kept_again() -> None:
    server = open_server()
    got: list[Any] = []
    other: list[Any] = []
    server.messages.on("data", got.append)
    server.messages.on("data", other.append)
    server.messages.off("data", got.append)
    server.io.write(text(b"1"))
    server.messages.off("data")
    server.io.write(text(b"2"))
    assert (got, other) == ([], ["1"])
    assert server.messages.read() == "2"
    server.io.on("data", got.append)
    server.io.off("data", got.append)
    server.io.off("data", got.append)
    server.messages.off("end")
    server.messages.write("x")
    assert unframe(server.io.read(), masked=False) == [(0x81, b"x")]


@pytest.mark.parametrize("side", ["io", "messages"])
def test_unknown_event_is_refused(side: str) -> None:
    stream = getattr(open_server(), side)
    for wrong in ("message", "open", "finish", ""):
        with pytest.raises(ValueError, match="there is no event"):
            stream.on(wrong, print)
        with pytest.raises(ValueError, match="there is no event"):
            stream.on(wrong)
        with pytest.raises(ValueError, match="there is no event"):
            stream.off(wrong)


def test_error_of_the_driver_is_told_on_both_sides_before_the_end() -> None:
    server = open_server()
    io, messages = Log(server.io), Log(server.messages)
    server.io.write(text(b"ok") + text(b"\xff") + text(b"never"))
    assert io.names == ["data", "error", "end", "close"]
    assert messages.names == ["data", "error", "end", "close"]
    assert messages.seen[0] == ("data", "ok")
    error = messages.seen[1][1]
    assert io.seen[1] == ("error", error)
    assert isinstance(error, ProtocolError)
    assert error.code == 1007
    ((first, payload),) = unframe(io.seen[0][1], masked=False)
    assert (first, payload[:2]) == (0x88, b"\x03\xef")


# --- the driver's own listeners --------------------------------------------------------------------------------------


def test_message_that_a_listener_of_the_driver_takes_is_not_kept() -> None:
    server = open_server()  # its io has been written to: Messages is there
    taken: list[str | bytes] = []
    server.on("message", lambda event: taken.append(event.data))
    for number in range(10 * HIGH_WATER_MESSAGES):
        assert server.io.write(text(b"%d" % number)) is True
    assert len(taken) == 10 * HIGH_WATER_MESSAGES
    assert server.messages.read() is None


def test_message_that_a_listener_of_the_driver_takes_still_goes_through_a_stream_in_use() -> None:
    server = open_server()
    taken: list[str | bytes] = []
    got: list[str | bytes] = []
    server.on("message", lambda event: taken.append(event.data))
    server.messages.pause()
    server.io.write(text(b"1"))
    assert server.messages.read() == "1"
    server.messages.on("data", got.append)
    server.io.write(text(b"2"))
    server.messages.resume()
    server.io.write(text(b"3"))
    assert taken == ["1", "2", "3"]
    assert got == ["2", "3"]


# --- back-pressure: messages that nobody takes hold up the wire -------------------------------------------------------


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "unread"])
def test_io_write_is_false_over_the_mark_of_messages_until_they_are_taken(paused: bool) -> None:
    server = open_server()
    log = Log(server.io, events=BUT_DATA)
    if paused:
        server.messages.pause()
    for number in range(HIGH_WATER_MESSAGES - 1):
        assert server.io.write(text(b"%d" % number)) is True
    assert not server.io.blocked
    assert server.io.write(text(b"last")) is False
    assert server.io.write(text(b"over")) is False  # taken all the same
    assert server.io.blocked
    assert server.messages.full
    messages = iter(server.messages)
    got = [next(messages) for _ in range(HIGH_WATER_MESSAGES)]
    assert log.take() == []
    assert server.io.write(b"") is False
    got.append(next(messages))
    assert log.take() == [("drain",)]
    assert not server.io.blocked
    assert got == [*map(str, range(HIGH_WATER_MESSAGES - 1)), "last", "over"]
    assert server.io.write(text(b"next")) is True
    assert list(server.messages) == ["next"]
    assert log.take() == []


def test_io_write_is_false_over_the_mark_of_bytes() -> None:
    server = open_server()
    server.messages.pause()
    half = b"x" * (HIGH_WATER_BYTES // 2)
    assert server.io.write(text(half)) is True
    assert server.io.write(frame(2, half, mask=MASK)) is False
    log = Log(server.io, events=("drain",))
    assert server.messages.read() == half.decode()
    assert server.messages.read() == half
    assert log.names == ["drain"]


def test_resume_emits_what_was_kept_in_order_and_then_drain() -> None:
    server = open_server()
    log = Log(server.messages)
    server.io.on("drain", lambda: log.seen.append(("io drain",)))
    server.messages.pause()
    assert server.io.write(b"".join(text(b"%d" % number) for number in range(50))) is False
    assert log.take() == []
    server.messages.resume()
    assert log.take() == [*(("data", str(number)) for number in range(50)), ("io drain",)]
    assert server.io.write(text(b"x")) is True
    assert log.take() == [("data", "x")]


def test_listener_that_pauses_keeps_the_rest_of_the_chunk() -> None:
    server = open_server()
    got: list[str | bytes] = []

    def one_by_one(message: str | bytes) -> None:
        got.append(message)
        server.messages.pause()

    server.messages.on("data", one_by_one)
    server.io.write(b"".join(text(b"%d" % number) for number in range(5)))
    for count in range(1, 6):
        assert len(got) == count
        server.messages.resume()
    assert got == list("01234")


def test_drain_listener_may_write_on() -> None:
    server = open_server()
    frames = [text(b"%d" % number) for number in range(200)]
    server.messages.pause()

    def write_on() -> None:
        while frames and server.io.write(frames.pop(0)):
            pass

    server.io.on("drain", write_on)
    write_on()
    assert len(frames) == 200 - HIGH_WATER_MESSAGES
    got = []
    while (message := server.messages.read()) is not None:
        got.append(message)
    assert got == [str(number) for number in range(200)]


def test_close_lets_a_blocked_writer_go_on() -> None:
    server = open_server()
    log = Log(server.io, events=("drain",))
    server.messages.pause()
    flood = b"".join(text(b"%d" % number) for number in range(HIGH_WATER_MESSAGES))
    assert server.io.write(flood) is False
    assert server.io.write(CLOSE_1000) is True
    assert log.names == ["drain"]
    assert len(list(server.messages)) == HIGH_WATER_MESSAGES


# --- back-pressure: output that nobody takes holds up the messages ----------------------------------------------------


@pytest.mark.parametrize("paused", [True, False], ids=["paused", "unread"])
def test_messages_write_is_false_over_the_mark_of_output_until_it_is_taken(paused: bool) -> None:
    server = open_server()
    out: list[bytes] = []
    log = Log(server.messages)
    if paused:
        server.io.pause()
        server.io.on("data", out.append)
    quarter = b"x" * (HIGH_WATER_BYTES // 4)
    for _ in range(3):
        assert server.messages.write(quarter) is True
    assert not server.messages.blocked
    assert server.messages.write(quarter) is False
    assert server.messages.write("over") is False  # taken all the same
    assert server.messages.blocked
    assert server.messages.writable
    assert server.io.full
    assert (out, log.take()) == ([], [])
    if paused:
        server.io.resume()
        (data,) = out
    else:
        data = server.io.read()
    assert log.take() == [("drain",)]
    assert [payload for _, payload in unframe(data, masked=False)] == [quarter] * 4 + [b"over"]
    assert server.messages.write("next") is True
    assert not server.io.full


def test_paused_io_can_still_be_read() -> None:
    server = open_server()
    out: list[bytes] = []
    server.io.on("data", out.append)
    server.io.pause()
    server.messages.write("1")
    data = server.io.read()
    server.messages.write("2")
    server.io.resume()
    assert [unframe(part, masked=False) for part in (data, *out)] == [[(0x81, b"1")], [(0x81, b"2")]]


def test_output_that_nobody_reads_does_not_hold_up_input() -> None:
    """Two peers that write before they read would wait for each other for ever."""
    client, server = open_pair()
    big = b"x" * (4 * HIGH_WATER_BYTES)
    for driver in (client, server):
        assert driver.messages.write(big) is False
    up, down = client.io.read(), server.io.read()
    for driver in (client, server):
        assert driver.messages.write(big) is False  # waits unsent while we write to them
    assert client.io.write(down) is False
    assert server.io.write(up) is False
    assert list(client.messages) == list(server.messages) == [big]
    assert client.io.write(b"") is True
    assert server.io.write(b"") is True


def test_pongs_that_nobody_reads_hold_up_the_pings() -> None:
    server = open_server()
    log = Log(server.io, server.messages, events=("drain",))
    ping = frame(9, b"x" * 125, mask=MASK)
    written = 0
    while server.io.write(ping):
        written += 1
        assert written < 1000
    assert server.io.blocked
    assert written * 127 < HIGH_WATER_BYTES <= (written + 1) * 127
    assert log.names == []
    assert len(unframe(server.io.read(), masked=False)) == written + 1
    assert log.names == ["drain"]
    assert server.io.write(ping) is True


def test_pongs_are_read_while_the_messages_are_full() -> None:
    """Each side tells its drain only when neither holds up the wire."""
    server = open_server()
    log = Log(server.io, events=("drain",))
    pings = frame(9, b"x" * 125, mask=MASK) * (HIGH_WATER_BYTES // 100)
    assert server.io.write(pings + text(b"m") * HIGH_WATER_MESSAGES) is False
    assert server.io.read() != b""
    assert log.names == []
    assert list(server.messages) == ["m"] * HIGH_WATER_MESSAGES
    assert log.take() == [("drain",)]
    assert server.io.write(pings + text(b"m") * HIGH_WATER_MESSAGES) is False
    assert list(server.messages) == ["m"] * HIGH_WATER_MESSAGES
    assert log.names == []
    assert server.io.read() != b""
    assert log.names == ["drain"]


# --- ends ------------------------------------------------------------------------------------------------------------


def test_messages_end_closes_the_connection_cleanly() -> None:
    client, server = open_pair()
    closes: list[Any] = []
    client.on("close", closes.append)
    server.on("close", closes.append)
    logs = [Log(stream) for stream in (client.messages, server.messages)]
    assert client.messages.write("last") is True
    client.messages.end()
    client.messages.end()
    assert client.state == "closing"
    assert not client.messages.writable
    assert client.messages.write("late") is False
    assert client.messages.readable
    pump(client, server)
    assert [(event.code, event.was_clean) for event in closes] == [(1000, True)] * 2
    assert logs[0].seen == [("end",), ("close",)]
    assert logs[1].seen == [("data", "last"), ("end",), ("close",)]
    for driver in (client, server):
        assert is_over(driver)
        assert driver.messages.write("late") is False
        assert list(driver.messages) == []
    assert len(logs[0].seen) == 2


def test_peer_may_send_until_it_has_answered_the_close() -> None:
    client, server = open_pair()
    server.messages.write("on its way")
    client.messages.end()
    pump(client, server)
    assert list(client.messages) == ["on its way"]
    assert client.state == "closed"


def test_end_of_messages_waits_for_those_that_are_kept() -> None:
    server = open_server()
    log = Log(server.messages)
    server.messages.pause()
    server.io.write(text(b"1") + text(b"2") + CLOSE_1000)
    assert server.state == "closed"
    assert server.messages.readable
    assert log.take() == []
    assert server.messages.read() == "1"
    server.messages.resume()
    assert log.take() == [("data", "2"), ("end",), ("close",)]
    server.messages.resume()
    assert server.messages.read() is None
    assert log.take() == []


def test_end_waits_until_all_listeners_have_the_last_message() -> None:
    server = open_server()
    server.messages.pause()
    server.io.write(text(b"last"))
    server.messages.on("data", lambda message: server.io.write(CLOSE_1000))
    log = Log(server.messages)
    server.messages.resume()
    assert log.seen == [("data", "last"), ("end",), ("close",)]


def test_end_of_messages_comes_with_the_read_that_finds_nothing() -> None:
    server = open_server()
    log = Log(server.messages, events=BUT_DATA)
    server.io.write(text(b"1") + text(b"2") + CLOSE_1000)
    got: list[Any] = []
    for message in server.messages:
        got.append(message)
        assert log.names == []
    assert got == ["1", "2"]
    assert log.names == ["end", "close"]


def test_end_of_output_comes_with_the_read_that_finds_nothing() -> None:
    server = open_server()
    log = Log(server.io, events=BUT_DATA)
    server.io.write(CLOSE_1000)
    assert server.state == "closed"
    assert server.io.readable
    # The answer must be on the wire before somebody hears that it can be cut.
    assert unframe(server.io.read(), masked=False) == [(0x88, b"\x03\xe8")]
    assert log.names == []
    assert server.io.read() == b""
    assert log.names == ["end", "close"]
    assert server.io.read() == b""
    assert len(log.names) == 2


def test_end_of_output_waits_while_it_is_paused() -> None:
    server = open_server()
    log = Log(server.io)
    server.io.pause()
    server.io.write(CLOSE_1000)
    assert log.names == []
    server.io.resume()
    assert log.names == ["data", "end", "close"]


def test_io_end_is_a_loss_without_a_closing_handshake() -> None:
    server = open_server()
    closes: list[Any] = []
    server.on("close", closes.append)
    log = Log(server.io, server.messages, events=BUT_DATA)
    server.io.write(text(b"1"))
    server.io.end()
    server.io.end()
    assert [(event.code, event.was_clean) for event in closes] == [(1006, False)]
    assert log.names == ["end", "close"]  # of the io
    assert server.io.write(text(b"2")) is False
    assert not server.io.writable
    assert list(server.messages) == ["1"]
    assert log.names == ["end", "close"] * 2


def test_io_end_in_the_handshake_is_an_error_of_the_client() -> None:
    client = Driver.client("ws://localhost/")
    log = Log(client.messages, events=BUT_DATA)
    client.start()
    client.io.end()
    assert log.names == ["error", "end", "close"]


def test_bytes_behind_the_close_are_dropped_and_ask_nobody_to_wait() -> None:
    server = open_server()
    server.io.write(CLOSE_1000)
    assert not server.io.writable
    for _ in range(100):
        assert server.io.write(text(b"late")) is True
    assert list(server.messages) == []


def test_streams_asked_for_after_the_close_have_ended() -> None:
    wire = Wire()
    server = Driver.server(wire)
    server.parse(request())
    server.start()
    server.parse(CLOSE_1000)
    assert server.io.read() == b""
    assert is_over(server)
    assert list(server.messages) == []
    assert server.io.write(text(b"late")) is True


# --- listeners that raise: nothing is lost, nothing comes twice -------------------------------------------------------


class Boom(Exception):
    pass


def boom(*_: object) -> None:
    raise Boom


def test_data_listener_that_raises_loses_no_message() -> None:
    server = open_server()
    got: list[str | bytes] = []

    def listener(message: str | bytes) -> None:
        got.append(message)
        if message == "2":
            raise Boom

    server.messages.on("data", listener)
    with pytest.raises(Boom):
        server.io.write(text(b"1") + text(b"2") + text(b"3"))
    assert server.io.write(text(b"4")) is True
    assert got == ["1", "2", "3", "4"]


def test_data_listener_that_raises_in_resume_loses_no_message() -> None:
    server = open_server()
    server.messages.pause()
    server.io.write(text(b"1") + text(b"2") + text(b"3"))
    server.messages.on("data", boom)
    with pytest.raises(Boom):
        server.messages.resume()
    server.messages.off("data", boom)
    assert list(server.messages) == ["2", "3"]


def test_message_that_comes_while_another_is_told_comes_after_it() -> None:
    server = open_server()
    server.messages.pause()
    server.io.write(text(b"1") + text(b"2"))
    got: list[str] = []

    def listener(message: str | bytes) -> None:
        got.append(f"{message!r} begins")
        if message == "1":
            server.io.write(text(b"3"))
        got.append(f"{message!r} ends")

    server.messages.on("data", listener)
    server.messages.resume()
    assert got == [f"'{number}' {what}" for number in (1, 2, 3) for what in ("begins", "ends")]


def test_drain_listener_that_raises_loses_no_message() -> None:
    server = open_server()
    server.io.on("drain", boom)
    server.io.write(b"".join(text(b"%d" % number) for number in range(HIGH_WATER_MESSAGES)))
    got = [server.messages.read() for _ in range(HIGH_WATER_MESSAGES - 1)]
    with pytest.raises(Boom):
        server.messages.read()
    got.append(server.messages.read())
    assert got == [str(number) for number in range(HIGH_WATER_MESSAGES)]
    assert server.messages.read() is None


def test_drain_listener_that_raises_loses_no_output() -> None:
    server = open_server()
    server.messages.on("drain", boom)
    assert server.messages.write(b"x" * HIGH_WATER_BYTES) is False
    with pytest.raises(Boom):
        server.io.read()
    assert server.io.full
    assert unframe(server.io.read(), masked=False) == [(0x82, b"x" * HIGH_WATER_BYTES)]
    assert server.io.read() == b""


def test_end_listener_that_raises_is_called_once() -> None:
    server = open_server()
    server.io.write(CLOSE_1000)
    server.io.read()
    server.io.on("end", boom)
    with pytest.raises(Boom):
        server.io.read()
    assert server.io.read() == b""


def test_output_listener_that_raises_still_lets_writers_go_on() -> None:
    server = open_server()
    log = Log(server.messages, events=("drain",))
    server.io.pause()
    server.io.on("data", boom)
    assert server.messages.write(b"x" * HIGH_WATER_BYTES) is False
    with pytest.raises(Boom):
        server.io.resume()
    assert log.names == ["drain"]


# --- a driver with a socket of its own --------------------------------------------------------------------------------


def test_io_of_a_driver_with_a_socket_is_a_second_look_at_its_output() -> None:
    wire = Wire("ws://localhost/x")
    client = Driver.client(wire)
    client.start()
    head = wire.take()
    seen: list[bytes] = []
    client.io.on("data", seen.append)
    assert seen == []  # the request went before anybody looked
    assert client.url == "ws://localhost/x"
    client.io.write(answer(sent_key(head)) + frame(1, b"hello", mask=None))
    assert list(client.messages) == ["hello"]
    assert client.messages.write("hi") is True
    assert unframe(b"".join(seen), masked=True) == [(0x81, b"hi")]
    assert wire.take() == b"".join(seen)
    assert client.io.read() == b""
    client.io.pause()
    client.messages.write("later")
    assert unframe(wire.take(), masked=True) == [(0x81, b"later")]
    assert len(seen) == 1
    client.io.resume()
    assert unframe(seen[1], masked=True) == [(0x81, b"later")]


def test_io_of_a_driver_with_a_socket_keeps_nothing_for_nobody() -> None:
    wire = Wire()
    wire.base_environ = {"REMOTE_ADDR": "192.0.2.1"}
    server = Driver.server(wire)
    assert server.messages.read() is None
    server.io.write(request())
    assert server.environ is not None
    assert server.environ["REMOTE_ADDR"] == "192.0.2.1"
    server.start()
    for _ in range(10):
        assert server.messages.write(b"x" * HIGH_WATER_BYTES) is True
    assert server.io.read() == b""
    assert len(wire.take()) > 10 * HIGH_WATER_BYTES


def test_messages_of_a_driver_with_a_socket_come_from_parse_too() -> None:
    wire = Wire()
    server = Driver.server(wire)
    server.parse(request())
    server.start()
    got: list[str | bytes] = []
    server.messages.on("data", got.append)
    server.parse(text(b"1") + CLOSE_1000)
    assert got == ["1"]
    assert not server.messages.readable


# --- the parts by themselves -----------------------------------------------------------------------------------------


def test_io_may_be_made_for_a_driver_that_is_there() -> None:
    driver = Driver.server(Wire())
    io = IO(driver)
    log = Log(io, events=BUT_DATA)
    io.off("data")
    driver.eof()
    assert log.names == ["end", "close"]
    IO().off("data")


def test_io_without_a_driver_says_so() -> None:
    io = IO()
    with pytest.raises(ConfigurationError, match="no driver"):
        io.write(b"x")
    with pytest.raises(ConfigurationError, match="no driver"):
        io.end()
    wire = io.wire("ws://localhost/")
    assert wire.url == "ws://localhost/"
    assert IO().wire().url is None
    wire.write(b"x")
    wire.write(b"y")
    assert io.read() == b"xy"


# --- any order of things ----------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.sampled_from(["up", "down", "carry up", "carry down", "pause", "resume", "pause io", "resume io", "read"]),
    max_size=80,
)


@given(steps=STEPS, seed=st.integers(0, 2**16), by_events=st.booleans())
def test_nothing_is_lost_or_changes_places_whatever_is_paused_when(
    steps: list[str], seed: int, by_events: bool
) -> None:
    client, server = open_pair()
    rng = random.Random(seed)
    sent: dict[Driver, list[str | bytes]] = {client: [], server: []}
    got: dict[Driver, list[str | bytes]] = {client: [], server: []}
    on_the_wire: dict[Driver, bytearray] = {client: bytearray(), server: bytearray()}
    if by_events:
        for driver in (client, server):
            driver.io.on("data", on_the_wire[driver].extend)
            driver.messages.on("data", got[driver].append)

    def send(driver: Driver) -> None:
        size = rng.choice([0, 1, 130, 70_000])
        message: str | bytes = "t" * size if rng.random() < 0.5 else b"b" * size
        sent[driver].append(message)
        driver.messages.write(message)

    def carry(source: Driver, sink: Driver, most: int) -> None:
        on_the_wire[source] += source.io.read() if not by_events else b""
        sink.io.write(bytes(on_the_wire[source][:most]))
        del on_the_wire[source][:most]

    for step in steps:
        driver = rng.choice([client, server])
        if step == "up":
            send(client)
        elif step == "down":
            send(server)
        elif step == "carry up":
            carry(client, server, rng.randrange(1, 200_000))
        elif step == "carry down":
            carry(server, client, rng.randrange(1, 200_000))
        elif step == "pause":
            driver.messages.pause()
        elif step == "resume":
            driver.messages.resume()
        elif step == "pause io":
            driver.io.pause()
        elif step == "resume io":
            driver.io.resume()
        else:
            got[driver].extend(driver.messages)
    client.messages.end()
    for _ in range(3):
        for source, sink in ((client, server), (server, client)):
            source.io.resume()
            carry(source, sink, 2**31)
    for driver in (client, server):
        driver.messages.resume()
        got[driver].extend(driver.messages)
        assert not driver.io.blocked
        assert driver.io.read() == b""
        assert is_over(driver)
    assert got == {client: sent[server], server: sent[client]}
