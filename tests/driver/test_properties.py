"""What holds for every session and for any bytes at all."""

from __future__ import annotations

from typing import TypeAlias

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.driving import (
    Session,
    accept_for,
    comparable,
    frame,
    new_client,
    new_server,
    new_wsgi,
    open_session,
    pieces,
    request,
    split_head,
    start_client,
    unframe,
    wsgi_environ,
)

SIDES = ("server", "client")

#: A valid session: the frames as (first byte, payload, key), the events and the answers that they must give.
Frames: TypeAlias = "list[tuple[int, bytes, bytes]]"

payloads = st.one_of(
    st.binary(max_size=20),
    st.integers(120, 130).map(bytes),
    st.integers(65530, 65540).map(lambda size: b"\x5a" * size),
)
texts = st.one_of(st.text(max_size=12), st.integers(120, 130).map(lambda size: "\xe9" * size))
keys = st.one_of(st.binary(min_size=4, max_size=4), st.just(b"\0\0\0\0"))


@st.composite
def fragmented(draw: st.DrawFn) -> tuple[Frames, list[tuple[object, ...]], list[tuple[int, bytes]]]:
    """A message in any number of fragments, with control frames between them."""
    message: str | bytes = draw(st.one_of(texts, payloads))
    data = message.encode() if isinstance(message, str) else message
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    parts = list(pieces(data, cuts))
    frames: Frames = []
    events: list[tuple[object, ...]] = []
    answers: list[tuple[int, bytes]] = []
    for index, part in enumerate(parts):
        opcode = 0 if index else (1 if isinstance(message, str) else 2)
        fin = 0x80 if index == len(parts) - 1 else 0
        frames.append((fin | opcode, part, draw(keys)))
        if not fin:
            for kind, payload in draw(
                st.lists(st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125)), max_size=2)
            ):
                frames.append((0x89 if kind == "ping" else 0x8A, payload, draw(keys)))
                events.append((kind, payload))
                if kind == "ping":
                    answers.append((0x8A, payload))
    events.append(("message", message))
    return frames, events, answers


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Frames, list[tuple[object, ...]], list[tuple[int, bytes]]]:
    """A valid session, which may end with a close frame."""
    frames: Frames = []
    events: list[tuple[object, ...]] = []
    answers: list[tuple[int, bytes]] = []
    for more_frames, more_events, more_answers in draw(st.lists(fragmented(), max_size=5)):
        frames += more_frames
        events += more_events
        answers += more_answers
    if draw(st.booleans()):
        code = draw(st.one_of(st.none(), st.sampled_from([1000, 1001, 1011, 1014, 3000, 4999])))
        reason = "" if code is None else draw(st.text(max_size=30))
        body = b"" if code is None else code.to_bytes(2, "big") + reason.encode()
        frames.append((0x88, body, draw(keys)))
        events.append(("close", 1005 if code is None else code, reason, True))
        answers.append((0x88, body))
    return frames, events, answers


def wire_of(frames: Frames, side: str) -> bytes:
    return b"".join(
        frame(first & 15, payload, fin=first >= 0x80, mask=key if side == "server" else None)
        for first, payload, key in frames
    )


def begin(side: str) -> tuple[Session, bytes]:
    if side == "client":
        return start_client()
    session = new_server()
    session.driver.start()
    return session, request()


@settings(max_examples=120, deadline=None)
@given(
    session=sessions(),
    side=st.sampled_from(SIDES),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
    step=st.sampled_from([0, 1, 2, 3, 7]),
)
def test_session_valid_in_any_chunks_gives_its_events(
    session: tuple[Frames, list[tuple[object, ...]], list[tuple[int, bytes]]], side: str, cuts: list[int], step: int
) -> None:
    frames, events, answers = session
    live, head = begin(side)
    data = head + wire_of(frames, side)
    if step and len(data) < 3000:
        cuts = list(range(0, len(data), step))
    live.replay(pieces(data, sorted(min(at, len(data)) for at in cuts)))
    opening: list[tuple[object, ...]] = [("open",)] if side == "client" else [("connect",), ("open",)]
    assert live.events == opening + events
    sent = live.wire.take()
    if side == "server":
        sent = split_head(sent)[1]
    written = unframe(sent, masked=side == "client")
    # A close frame is answered with its code; what else the answer says is free.
    assert [(first, body[:2] if first == 0x88 else body) for first, body in written] == [
        (first, body[:2] if first == 0x88 else body) for first, body in answers
    ]


# --- any bytes at all ------------------------------------------------------------------------------------------------

whole_frames = st.builds(
    lambda opcode, payload, fin, rsv, key: frame(opcode, payload, fin=fin, rsv=rsv, mask=key),
    opcode=st.sampled_from([0, 0, 1, 1, 2, 2, 3, 8, 9, 10, 11]),
    payload=st.one_of(st.binary(max_size=12), st.sampled_from([b"\x03\xe8", bytes(126), "\u20ac".encode(), b"\xed"])),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 0x40, 0x70]),
    key=st.one_of(st.none(), keys),
)
lines = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"Host: localhost\r\n",
        b"Host: [::1\r\n",
        b"Upgrade: websocket\r\n",
        b"Connection: Upgrade\r\n",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"Sec-WebSocket-Version: 13\r\n",
        b"Sec-WebSocket-Protocol: ,\r\n",
        b"Sec-WebSocket-Accept: x\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"\n",
        b" folded\r\n",
        b":\r\n",
        b"\xff: \xff\r\n",
        b"\0",
    ]
)
garbage = st.lists(st.one_of(st.binary(max_size=30), lines, whole_frames), max_size=12)


def check_end(session: Session) -> None:
    """One close at the most while bytes come, exactly one after their end, and nothing behind it."""
    assert len(session.closes) <= 1
    if session.closes:
        assert session.names[-1] == "close"
    session.driver.eof()
    assert len(session.closes) == 1
    assert session.names[-1] == "close"
    assert session.names.count("error") <= 1
    assert session.driver.state == "closed"


def check_bytes(sent: bytes, side: str) -> None:
    """What goes out is always well formed: a head where it belongs, then whole frames, a close frame the last."""
    if side == "server" and sent.startswith(b"HTTP/1.1 "):
        head, rest = split_head(sent)
        if not head.startswith(b"HTTP/1.1 101 "):
            return
        sent = rest
    frames = unframe(sent, masked=side == "client")
    assert all(first in (0x8A, 0x88) for first, _ in frames)
    assert [first for first, _ in frames[:-1]].count(0x88) == 0


@settings(max_examples=150, deadline=None)
@given(chunks=garbage, started=st.booleans())
@example(chunks=[b"\x16\x03\x01\x02\x00\x01\x00"], started=True)
@example(chunks=[b"\r\n\r\n"], started=True)
@example(chunks=[b"GET  HTTP/1.1\r\n\r\n"], started=True)
def test_server_given_any_bytes_raises_nothing(chunks: list[bytes], started: bool) -> None:
    session = new_server()
    if started:
        session.driver.start()
    session.replay(chunks)
    check_bytes(session.wire.sent, "server")
    check_end(session)


@settings(max_examples=150, deadline=None)
@given(chunks=garbage, started=st.booleans())
def test_client_given_any_bytes_raises_nothing(chunks: list[bytes], started: bool) -> None:
    session = new_client()
    if started:
        session.driver.start()
        session.wire.take()
    session.replay(chunks)
    assert session.wire.sent == b""
    check_end(session)


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with a few bytes changed, put in or left out."""
    result = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(result)))
        kind = draw(st.sampled_from(["change", "insert", "delete"]))
        if kind == "insert":
            result[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "delete":
            del result[at : at + draw(st.integers(1, 4))]
        elif at < len(result):
            result[at] = draw(st.integers(0, 255))
    return bytes(result)


@settings(max_examples=200, deadline=None)
@given(data=mutated(request("/chat?x=1", "Origin: http://localhost\r\nSec-WebSocket-Protocol: a, b\r\n")))
def test_server_given_a_damaged_request_raises_nothing(data: bytes) -> None:
    session = new_server(protocols=["b"])
    session.driver.start()
    session.parse(data)
    check_bytes(session.wire.sent, "server")
    check_end(session)
    # All that is derived from the request can be asked for, whatever the request was.
    driver = session.driver
    assert [driver.method, driver.path, driver.url, driver.headers, driver.environ].count(None) in (0, 5)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_client_given_a_damaged_answer_raises_nothing(data: st.DataObject) -> None:
    session, head = start_client(protocols=["a", "b"])
    damaged = data.draw(mutated(head.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: b\r\n\r\n")))
    session.parse(damaged)
    if "open" not in session.names:
        assert session.wire.sent == b""
    check_bytes(session.wire.sent, "client")
    check_end(session)


@settings(max_examples=200, deadline=None)
@given(chunks=garbage, side=st.sampled_from(["server", "wsgi", "client"]), closing=st.booleans())
def test_open_driver_given_any_bytes_raises_nothing(chunks: list[bytes], side: str, closing: bool) -> None:
    session = open_session(side, max_length=100, max_fragments=4)
    if closing:
        session.driver.close()
        session.forget()
    session.replay(chunks)
    check_bytes(session.wire.sent, side)
    check_end(session)


@settings(max_examples=150, deadline=None)
@given(chunks=garbage, side=st.sampled_from(SIDES), cuts=st.lists(st.integers(0, 300), max_size=8))
def test_open_driver_given_any_bytes_in_any_chunks_does_the_same(
    chunks: list[bytes], side: str, cuts: list[int]
) -> None:
    data = b"".join(chunks)
    whole = open_session(side, max_length=100, max_fragments=4).parse(data)
    single = open_session(side, max_length=100, max_fragments=4).parse(*(data[i : i + 1] for i in range(len(data))))
    other = open_session(side, max_length=100, max_fragments=4)
    other.replay(pieces(data, sorted(min(at, len(data)) for at in cuts)))
    assert comparable(whole.events) == comparable(single.events) == comparable(other.events)
    assert whole.take_frames() == single.take_frames() == other.take_frames()


@settings(max_examples=100, deadline=None)
@given(chunks=garbage, cuts=st.lists(st.integers(0, 300), max_size=8), started=st.booleans())
def test_server_given_any_bytes_in_any_chunks_does_the_same(
    chunks: list[bytes], cuts: list[int], started: bool
) -> None:
    """Only how far a request came before it was found wrong may show in the words of the refusal."""
    data = b"".join(chunks)
    seen = []
    for parts in (
        [data],
        [data[i : i + 1] for i in range(len(data))],
        pieces(data, sorted(min(c, len(data)) for c in cuts)),
    ):
        session = new_server()
        if started:
            session.driver.start()
        session.replay(parts)
        seen.append((session.names, session.driver.state, session.wire.take()[:12]))
    assert seen[0] == seen[1] == seen[2]


# --- what an environ may hold ----------------------------------------------------------------------------------------

NAMES = [
    "REQUEST_METHOD",
    "SERVER_PROTOCOL",
    "CONTENT_LENGTH",
    "HTTP_HOST",
    "HTTP_UPGRADE",
    "HTTP_CONNECTION",
    "HTTP_SEC_WEBSOCKET_KEY",
    "HTTP_SEC_WEBSOCKET_VERSION",
    "HTTP_SEC_WEBSOCKET_PROTOCOL",
    "HTTP_TRANSFER_ENCODING",
]


@settings(max_examples=200, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), st.text(max_size=20)), max_size=3))
def test_wsgi_driver_given_any_environ_raises_nothing(changes: dict[str, str | None]) -> None:
    environ = {**wsgi_environ(), **changes}
    session = new_wsgi({name: value for name, value in environ.items() if value is not None})
    started = session.driver.start()
    assert session.driver.state == ("open" if started else "closed")
    assert session.names == (["open"] if started else ["error", "close"])
    head = session.wire.take()
    assert head.startswith(b"HTTP/1.1 101 " if started else b"HTTP/1.1 4")
    if session.driver.version == "hybi-13" and started:
        key = str(environ["HTTP_SEC_WEBSOCKET_KEY"]).strip(" \t")
        assert f"Sec-WebSocket-Accept: {accept_for(key)}\r\n".encode() in head


@pytest.mark.parametrize("length", range(1, 40))
def test_head_of_zero_bytes_of_any_length_is_refused(length: int) -> None:
    session = new_server().parse(bytes(length))
    assert session.names == ["error", "close"]
