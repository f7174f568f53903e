"""Every frame of RFC 6455 §5 and §7: bytes in, events and bytes out, in chunks of all kinds, for both sides."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.driving import (
    CHUNKINGS,
    Session,
    bytes_of,
    cut,
    events_of,
    load_vectors,
    new_server,
    open_session,
    payload_of,
    request,
    start_client,
)
from wsdriver import exceptions

FILES = ("hybi13_frames", "hybi13_messages", "hybi13_closing")

REPLAYS = [
    pytest.param(vector, side, id=f"{vector['name']}-{side}")
    for name in FILES
    for vector in load_vectors(name)
    for side in ("server", "client")
    if vector.get("side", side) == side
]


def check(session: Session, vector: dict[str, Any]) -> None:
    """Compare what a driver did with what the vector says."""
    frames = session.take_frames()
    expected_frames = [(int(first, 16), payload_of(payload)) for first, payload in vector.get("out", [])]
    expected = events_of(vector.get("events", []))
    if "code" in vector:
        # A close frame is answered with its code (RFC 6455 §5.5.1); what else is in the answer is free.
        first, payload = frames.pop()
        assert first == 0x88
        assert payload[:2] == vector["code"].to_bytes(2, "big")
    if "fails" in vector:
        code, kind, word = vector["fails"]
        error = session.error
        assert type(error) is getattr(exceptions, kind)
        assert isinstance(error, exceptions.ProtocolError)
        assert error.code == code
        assert word in str(error)
        expected += [("error", error), ("close", code, str(error), False)]
        expected_frames.append((0x88, code.to_bytes(2, "big") + str(error).encode()))
    assert session.events == expected
    assert frames == expected_frames


def is_over(vector: dict[str, Any]) -> bool:
    return "fails" in vector or any(event[0] == "close" for event in vector["events"])


@pytest.mark.parametrize(("vector", "side"), REPLAYS)
def test_vector_in_chunks_gives_its_events(vector: dict[str, Any], side: str) -> None:
    for how in CHUNKINGS:
        session = open_session(side, **vector.get("options", {}))
        session.replay(cut(bytes_of(vector["in"], side), how, seed=vector["name"]))
        assert session.driver.state == ("closed" if is_over(vector) else "open"), how
        check(session, vector)


@pytest.mark.parametrize(("vector", "side"), REPLAYS)
def test_vector_with_trailing_bytes_gives_its_events(vector: dict[str, Any], side: str) -> None:
    session = open_session(side, **vector.get("options", {}))
    data = bytes_of(vector["in"], side)
    if is_over(vector):
        session.parse(data + session.frame(1, b"late") + b"\xff\x00" * 50)
        check(session, vector)
    elif not vector.get("open_message"):
        session.parse(data + session.frame(9, b"after") + session.frame(2, b"A"))
        events = [*vector["events"], ["ping", "after"], ["message", {"hex": "41"}]]
        check(session, {**vector, "events": events, "out": [*vector.get("out", []), ["8a", "after"]]})


@pytest.mark.parametrize(("vector", "side"), REPLAYS)
def test_vector_behind_the_head_gives_its_events(vector: dict[str, Any], side: str) -> None:
    """The frames come in the same segment as the end of the opening handshake."""
    if side == "client":
        session, head = start_client(**vector.get("options", {}))
    else:
        session, head = new_server(**vector.get("options", {})), request()
        session.driver.start()
    session.parse(head + bytes_of(vector["in"], side))
    opening = ["open"] if side == "client" else ["connect", "open"]
    assert session.names[: len(opening)] == opening
    del session.events[: len(opening)]
    if side == "server":
        session.wire.sent = session.wire.sent.partition(b"\r\n\r\n")[2]
    check(session, vector)


@pytest.mark.parametrize(("vector", "side"), REPLAYS)
def test_vector_then_eof_gives_one_close(vector: dict[str, Any], side: str) -> None:
    session = open_session(side, **vector.get("options", {})).parse(bytes_of(vector["in"], side))
    session.driver.eof()
    session.driver.eof()
    assert len(session.closes) == 1
    assert session.names[-1] == "close"
    if not is_over(vector):
        assert session.closes == [("close", 1006, "", False)]


@pytest.mark.parametrize(
    "vector",
    [
        pytest.param(vector, id=vector["name"])
        for name in FILES
        for vector in load_vectors(name)
        if vector.get("side") != "client"
    ],
)
def test_vector_through_wsgi_gives_its_events(vector: dict[str, Any]) -> None:
    session = open_session("wsgi", **vector.get("options", {})).parse(bytes_of(vector["in"], "server"))
    check(session, vector)
