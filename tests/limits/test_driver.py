"""The driver's limits: each at its value, and one past it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.limits.rows import ANY, MESSAGES, OLD_MESSAGES, OPENING, Row
from tests.support.driving import Session, answer, new_client, new_server, open_session, sent_key, start_client
from tests.support.net import frame, request
from wsdriver import Driver, HandshakeError, MessageTooBig, ProtocolError, ProxyError
from wsdriver.driver.driver import MAX_EARLY


def served(row: Row, data: bytes) -> Session:
    """Return a server's driver to which all of that has been sent."""
    session = new_server(**row.given)
    session.hook = lambda session, seen: session.driver.start() if seen[0] == "connect" else None
    return session.parse(row.opening, data) if row.opening else session.parse(data)


def assert_named(row: Row, error: Exception) -> None:
    """Check that an error names its limit, and the value."""
    assert row.limit in str(error)
    assert str(row.most) in str(error)


@pytest.mark.parametrize("row", [*OPENING, *MESSAGES, *OLD_MESSAGES], ids=lambda row: row.name)
def test_at_the_limit_is_taken(row: Row) -> None:
    session = served(row, row.make(row.most))
    assert session.driver.state == "open"
    assert "error" not in session.names


@pytest.mark.parametrize("row", OPENING, ids=lambda row: row.name)
def test_opening_past_the_limit_is_refused(row: Row) -> None:
    data = row.make(row.most + 1)
    assert len(data) > len(row.make(row.most))
    session = served(row, data)
    assert session.driver.state == "closed"
    assert isinstance(session.error, HandshakeError)
    assert session.error.status == row.outcome
    assert session.wire.sent.startswith(f"HTTP/1.1 {row.outcome} ".encode())
    assert_named(row, session.error)


@pytest.mark.parametrize("row", [*MESSAGES, *OLD_MESSAGES], ids=lambda row: row.name)
def test_message_past_the_limit_fails_the_connection(row: Row) -> None:
    session = served(row, row.make(row.most + 1))
    assert session.driver.state == "closed"
    assert isinstance(session.error, MessageTooBig if row.outcome == 1009 else ProtocolError)
    assert session.closes == [("close", row.outcome, str(session.error), False)]
    assert session.messages == []
    assert_named(row, session.error)


END = "\r\n"


# --- a client --------------------------------------------------------------------------------------------------------


def client_answer(key: str, size: int = 0, headers: int = 0, parameters: int = 0) -> bytes:
    """Return a right answer of so many bytes, with so many header fields and parameters of an extension."""
    extra = ""
    if parameters:
        extra += f"Sec-WebSocket-Extensions: x-any{''.join(f'; p{i}' for i in range(parameters))}\r\n"
    extra += "X-A: b\r\n" * max(0, headers - 3)
    if size:
        extra += f"X-Long: {'x' * (size - len(answer(key, extra + 'X-Long: ' + chr(13) + chr(10))))}\r\n"
    return answer(key, extra)


OF_ANSWERS = [
    ("max_head_size", "size", 400, None),
    ("max_head_size", "size", 32 * 1024, {}),
    ("max_headers", "headers", 20, None),
    ("max_headers", "headers", 128, {}),
    ("max_extension_parameters", "parameters", 3, None),
    ("max_extension_parameters", "parameters", 64, {}),
]


@pytest.mark.parametrize(("limit", "part", "most", "options"), OF_ANSWERS)
def test_answer_at_the_limit_is_taken_and_past_it_refused(
    limit: str, part: str, most: int, options: dict[str, Any] | None
) -> None:
    given = {limit: most} if options is None else options
    for value in (most, most + 1):
        session = new_client(extensions=ANY, **given)
        session.driver.start()
        session.parse(client_answer(sent_key(session.wire.take()), **{part: value}))
        if value == most:
            assert session.driver.state == "open"
            continue
        assert session.driver.state == "closed"
        assert isinstance(session.error, HandshakeError)
        assert limit in str(session.error)
        assert str(most) in str(session.error)


def test_message_for_a_client_has_the_same_limit() -> None:
    session = open_session("client", max_length=10)
    session.parse(session.frame(2, bytes(10)), session.frame(2, bytes(11)))
    assert session.messages == [bytes(10)]
    assert isinstance(session.error, MessageTooBig)
    assert "10 (max_length)" in str(session.error)


@pytest.mark.parametrize(("limit", "most"), [("max_head_size", 300), ("max_headers", 12)])
def test_answer_of_a_proxy_has_the_limits_of_its_client(limit: str, most: int) -> None:
    for value in (most, most + 1):
        driver = Driver.client(new_client().wire, **{limit: most})
        proxy = driver.proxy("http://proxy:3128")
        errors: list[Exception] = []
        proxy.on("error", errors.append)
        proxy.start()
        head = b"HTTP/1.1 200 OK\r\n"
        if limit == "max_headers":
            head += b"X-A: b\r\n" * value + b"\r\n"
        else:
            head += b"X-Long: " + b"x" * (value - len(head) - 12) + b"\r\n\r\n"
        proxy.parse(head)
        assert proxy.state == ("open" if value == most else "closed")
        if value > most:
            (error,) = errors
            assert isinstance(error, ProxyError)
            assert limit in str(error)
            assert str(most) in str(error)


# --- our own pings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["{}", "same"], ids=["of many payloads", "of one payload"])
@pytest.mark.parametrize(("options", "most"), [({"max_unanswered_pings": 5}, 5), ({}, 1000)], ids=["set", "default"])
def test_callbacks_of_pings_past_the_limit_are_forgotten_oldest_first(
    options: dict[str, Any], most: int, payload: str
) -> None:
    session = open_session("server", **options)
    for more in (0, 1, 3 * most):
        called: list[int] = []
        for number in range(most + more):
            session.driver.ping(payload.format(number), partial(called.append, number))
        assert len(session.take_frames()) == most + more, "each ping goes out all the same"
        session.parse(session.frame(10, payload.format(most + more - 1).encode()))
        assert called == list(range(more, most + more))
    assert session.driver.state == "open"


def test_callbacks_of_pings_that_were_answered_leave_room() -> None:
    session = open_session("server", max_unanswered_pings=2)
    called: list[int] = []
    for number in range(10):
        session.driver.ping("a", lambda number=number: called.append(number))
        session.driver.ping("b", lambda number=number: called.append(number))
        session.parse(session.frame(10, b"b"))
    assert called == [number for number in range(10) for _ in "ab"]


# --- before the handshake is answered --------------------------------------------------------------------------------


def test_bytes_before_the_handshake_is_answered() -> None:
    for more, state in ((0, "connecting"), (1, "closed")):
        session = new_server()
        session.parse(request(), bytes(MAX_EARLY // 2), bytes(MAX_EARLY // 2 + more))
        assert session.driver.state == state
        if more:
            assert isinstance(session.error, HandshakeError)
            assert f"{MAX_EARLY} bytes" in str(session.error)
            assert "MAX_EARLY" in str(session.error)


def test_answer_with_much_behind_it_is_no_fault() -> None:
    session, reply = start_client(max_length=0)
    session.parse(reply + frame(2, bytes(2 * MAX_EARLY), mask=None))
    assert session.messages == [bytes(2 * MAX_EARLY)]


# --- the options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["max_head_size", "max_headers", "max_extension_parameters", "max_unanswered_pings", "max_fragments"]
)
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True, None])
def test_value_that_is_none_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Driver.server(**{name: value})
