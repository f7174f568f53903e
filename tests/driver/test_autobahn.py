"""The Autobahn test suite's cases 1 to 7, 9, 10, 12 and 13, for both roles: each strictly right.

The vectors are in ``tests/support/autobahn.py``. ``pytest -k 6.4.1`` runs one case. Sections 12 and 13 send fewer
messages than the suite's 1000 of a size (``deflate_count``), and their data is of the suite's kinds but made up.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

import pytest

from tests.support import autobahn
from tests.support.autobahn import (
    BINARY,
    CASES,
    CLOSE,
    CONTINUATION,
    DATA,
    DEFLATE,
    END,
    FIN,
    LIMITS,
    PARAMETERS,
    TEXT,
    Case,
    Chop,
    Deflate,
    Fail,
    Large,
    Reply,
    corpus,
    deflate_count,
    fast_mask,
    filled,
    fragments,
    peer_frame,
    read_frames,
    split,
    windows,
)
from tests.support.driving import (
    Seen,
    Session,
    answer,
    naive_mask,
    new_client,
    new_server,
    open_session,
    parse_head,
    request,
    sent_key,
    split_head,
)
from wsdriver import PermessageDeflate

ROLES = ("server", "client")


def echo(session: Session, seen: Seen) -> None:
    """Be the application: send each message back."""
    if seen[0] != "message":
        return
    if isinstance(seen[1], str):
        assert session.driver.text(seen[1]) is True
    else:
        assert session.driver.binary(seen[1]) is True


def echoing(role: str) -> Session:
    session = open_session(role)
    session.hook = echo
    return session


def check_replies(session: Session, replies: Sequence[Reply]) -> None:
    """Compare all that was written since the last time."""
    written = list(read_frames(session.wire.take(), masked=session.side == "client"))
    assert len(written) == len(replies), f"{[(first, data[:50]) for first, data in written]}"
    for (first, data), reply in zip(written, replies, strict=True):
        if isinstance(reply, Fail):
            assert first == FIN | CLOSE
            assert int.from_bytes(data[:2], "big") == reply.code
            assert len(data) <= 125
            data[2:].decode()
        else:
            assert first == reply[0]
            assert data == reply[1]


def check_end(session: Session, case: Case) -> None:
    """Compare the events at the end of a case."""
    assert session.driver.state == "closed"
    assert session.messages == case.messages
    (close,) = session.closes
    assert session.names[-1] == "close"
    if case.failure is None:
        assert close[1:] == (*case.closed_with, True)
        assert "error" not in session.names
    else:
        assert (close[1], close[3]) == (case.failure, False)
        assert session.names[-2] == "error"
        assert getattr(session.error, "code", None) == case.failure


def run(role: str, case: Case, how: Chop) -> None:
    session = echoing(role)
    for pieces, replies in case.at(role == "server", how):
        *before, last = pieces
        early: tuple[bytes, ...] = ()
        for piece in before:
            session.driver.parse(piece)
            early += (session.wire.sent,)
        session.driver.parse(last)
        if before and early[-1]:
            # Only a failure may come before the last octet of what deserves it.
            assert isinstance(replies[0], Fail)
        check_replies(session, replies)
    check_end(session, case)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.number) for case in CASES])
def test_case(case: Case, role: str) -> None:
    for how in case.chops:
        run(role, case, how)


def test_fast_mask_is_the_mask() -> None:
    rng = random.Random(1)
    for size in (*range(40), 1000, 4099):
        data, key = rng.randbytes(size), rng.randbytes(4)
        assert fast_mask(data, key) == naive_mask(data, key)


def test_case_numbers_are_complete() -> None:
    numbers = [*(case.number for case in CASES), *(case.number for case in LIMITS), *(case.number for case in DEFLATE)]
    assert len(set(numbers)) == len(numbers)
    counts: dict[str, int] = {}
    for number in numbers:
        section = number.partition(".")[0]
        counts[section] = counts.get(section, 0) + 1
    # As in the suite's reports.
    assert counts == {
        "1": 16,
        "2": 11,
        "3": 7,
        "4": 10,
        "5": 20,
        "6": 145,
        "7": 37,
        "9": 54,
        "10": 1,
        "12": 90,
        "13": 126,
    }


# --- 6: where exactly ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("group", "index", "octets"),
    [
        pytest.param(group, index, octets, id=f"6.{group}.{index}-first-octet")
        for group, sequences in autobahn.UTF8_GROUPS.items()
        for index, (valid, octets) in enumerate(sequences, 1)
        if not valid
    ],
)
def test_invalid_utf8_fails_at_the_first_octet_that_cannot_be_right(
    group: int, index: int, octets: bytes, role: str
) -> None:
    """In octets of an unfinished message, the failure is at the octet that RFC 3629 §4 has no place for."""
    session = echoing(role)
    wrong = first_wrong(octets)
    for i in range(len(octets)):
        session.driver.parse(
            peer_frame(TEXT if i == 0 else CONTINUATION, octets[i : i + 1], fin=False, masked=role == "server")
        )
        check_replies(session, [Fail(1007)] if i == wrong else [])
    if wrong is None:  # incomplete: only the end of the message says so
        session.driver.parse(peer_frame(CONTINUATION, b"", masked=role == "server"))
        check_replies(session, [Fail(1007)])
    assert session.driver.state == "closed"
    assert session.messages == []


#: RFC 3629 §4: what may follow a first octet at once, and how many octets follow in all.
SECOND = (
    (0xC2, 0xDF, 0x80, 0xBF, 1),
    (0xE0, 0xE0, 0xA0, 0xBF, 2),
    (0xE1, 0xEC, 0x80, 0xBF, 2),
    (0xED, 0xED, 0x80, 0x9F, 2),
    (0xEE, 0xEF, 0x80, 0xBF, 2),
    (0xF0, 0xF0, 0x90, 0xBF, 3),
    (0xF1, 0xF3, 0x80, 0xBF, 3),
    (0xF4, 0xF4, 0x80, 0x8F, 3),
)


def first_wrong(octets: bytes) -> int | None:
    """Return the index of the first octet that no continuation makes right; None where it is only incomplete."""
    left, low, high = 0, 0x80, 0xBF
    for index, octet in enumerate(octets):
        if left:
            if not low <= octet <= high:
                return index
            left, low, high = left - 1, 0x80, 0xBF
        elif octet >= 0x80:
            row = next((row for row in SECOND if row[0] <= octet <= row[1]), None)
            if row is None:
                return index
            low, high, left = row[2:]
    assert left, "the octets are right"
    return None


# --- 9, 10: sizes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.number) for case in LIMITS])
def test_limits(case: Large, role: str) -> None:
    masked = role == "server"
    session = echoing(role)
    payload = filled(case.opcode, case.size)
    message = payload.decode() if case.opcode == TEXT else payload
    if case.fragment:
        steps = fragments(split(payload, case.fragment), case.opcode)
        frames = [step.data(masked) for step in steps]
    else:
        frames = [peer_frame(case.opcode, payload, masked=masked)]
    for _ in range(case.count):
        for piece in frames:
            for chop in split(piece, case.chop or len(piece)):
                assert not session.wire.sent
                session.driver.parse(chop)
        ((first, echoed),) = read_frames(session.wire.take(), masked=not masked)
        assert first == FIN | case.opcode
        assert echoed == payload
        assert session.events == [("message", message)]
        session.events.clear()
    session.driver.parse(END.data(masked))
    check_replies(session, END.replies)
    assert session.events == [("close", 1000, "", True)]


# --- 12, 13: permessage-deflate --------------------------------------------------------------------------------------


class Peer:
    """The other end: plain zlib, strict about what was agreed."""

    def __init__(self, own: tuple[bool, int], other: tuple[bool, int]) -> None:
        self.own_fresh, self.own_bits = own
        self.other_fresh, self.other_bits = other
        self.deflater = self.new_deflater()
        self.inflater = zlib.decompressobj(-self.other_bits)

    def new_deflater(self) -> zlib._Compress:
        return zlib.compressobj(1, zlib.DEFLATED, -max(9, self.own_bits), 9)

    def pack(self, data: bytes) -> bytes:
        """RFC 7692 §7.2.1."""
        if self.own_fresh:
            self.deflater = self.new_deflater()
        packed = self.deflater.compress(data) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
        assert packed.endswith(b"\x00\x00\xff\xff")
        return packed[:-4]

    def unpack(self, data: bytes) -> bytes:
        """RFC 7692 §7.2.2. A window of the agreed size refuses what reaches further back."""
        if self.other_fresh:
            self.inflater = zlib.decompressobj(-self.other_bits)
        result = self.inflater.decompress(data + b"\x00\x00\xff\xff")
        assert not self.inflater.unused_data
        return result


def parameters(field: str) -> dict[str, str | None]:
    """Read the parameters of one permessage-deflate element."""
    name, *items = (item.strip() for item in field.split(";"))
    assert name == "permessage-deflate"
    pairs = [item.partition("=") for item in items]
    result = {name: value if equals else None for name, equals, value in pairs}
    assert len(result) == len(pairs)
    return result


def open_deflate_server(offers: Sequence[tuple[bool, int]]) -> tuple[Session, Peer]:
    """Offer as the suite does, each time with what it can do itself, and judge the answer (RFC 7692 §7.1)."""
    texts = []
    for fresh, bits in offers:
        text = "permessage-deflate; client_no_context_takeover; client_max_window_bits"
        text += "; server_no_context_takeover" if fresh else ""
        texts.append(text + (f"; server_max_window_bits={bits}" if bits else ""))
    session = new_server(extensions=[PermessageDeflate()])
    session.parse(request(extra=f"Sec-WebSocket-Extensions: {', '.join(texts)}\r\n"))
    session.driver.start()
    head, rest = split_head(session.wire.take())
    assert rest == b""
    agreed = parameters(parse_head(head)[1]["sec-websocket-extensions"])
    fresh, bits = offers[0]  # the best one, and all of them can be granted
    assert set(agreed) <= {f"{side}_{what}" for side in ROLES for what in ("no_context_takeover", "max_window_bits")}
    assert not fresh or "server_no_context_takeover" in agreed
    own_bits = int(agreed.get("server_max_window_bits") or 15)
    assert 8 <= own_bits <= (bits or 15)
    assert not bits or "server_max_window_bits" in agreed
    peer_bits = int(agreed.get("client_max_window_bits") or 15)
    assert 8 <= peer_bits <= 15
    return session, Peer(
        ("client_no_context_takeover" in agreed, peer_bits), ("server_no_context_takeover" in agreed, own_bits)
    )


def open_deflate_client(accepts: Sequence[tuple[bool, int]]) -> tuple[Session, Peer]:
    """Answer our first offer as the suite does: with what it asks of us, and all that the offer asks of it."""
    session = new_client(extensions=[PermessageDeflate()])
    assert session.driver.start() is True
    head = session.wire.take()
    offer = parameters(parse_head(head)[1]["sec-websocket-extensions"].split(",")[0])
    assert "client_max_window_bits" in offer, "else the suite calls 13.3 to 13.7 unimplemented"
    fresh, bits = accepts[0]
    peer_fresh = "server_no_context_takeover" in offer
    peer_bits = int(offer.get("server_max_window_bits") or 15)
    text = "permessage-deflate"
    text += "; server_no_context_takeover" if peer_fresh else ""
    text += f"; server_max_window_bits={peer_bits}" if "server_max_window_bits" in offer else ""
    text += "; client_no_context_takeover" if fresh else ""
    text += f"; client_max_window_bits={bits}" if bits else ""
    session.parse(answer(sent_key(head), f"Sec-WebSocket-Extensions: {text}\r\n"))
    return session, Peer((peer_fresh, peer_bits), (fresh, bits or 15))


def exchange(session: Session, peer: Peer, role: str, payload: bytes, text: bool, fragment: int) -> bool:
    """Send one message compressed, and read its echo; tell whether that was compressed."""
    masked = role == "server"
    opcode = TEXT if text else BINARY
    packed = peer.pack(payload)
    parts = split(packed, fragment or len(packed))
    for i, part in enumerate(parts):
        assert not session.wire.sent
        data = peer_frame(
            opcode if i == 0 else CONTINUATION, part, fin=i == len(parts) - 1, rsv=4 if i == 0 else 0, masked=masked
        )
        session.driver.parse(data)
    ((first, echoed),) = read_frames(session.wire.take(), masked=not masked)
    assert first & ~0x40 == FIN | opcode
    assert (peer.unpack(echoed) if first & 0x40 else echoed) == payload
    assert session.messages == [payload.decode() if text else payload]
    session.events.clear()
    return bool(first & 0x40)


def run_deflate(case: Deflate, role: str) -> None:
    session, peer = open_deflate_server(case.offers) if role == "server" else open_deflate_client(case.accepts)
    assert session.driver.state == "open", session.events
    session.forget().hook = echo
    text = DATA[case.data]
    for payload in windows(corpus(case.data), case.size, deflate_count(case.size)):
        compressed = exchange(session, peer, role, payload, text, case.fragment)
        if text and case.size >= 256:
            assert compressed, "a message that gains by it must be compressed, or the case shows nothing"
    session.driver.parse(END.data(role == "server"))
    check_replies(session, END.replies)
    assert session.events == [("close", 1000, "", True)]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", [pytest.param(case, id=case.number) for case in DEFLATE])
def test_deflate(case: Deflate, role: str) -> None:
    run_deflate(case, role)


#: Section 13 as the suite's first editions have it: 8 window bits in place of 9.
EIGHT = [
    Deflate(f"13.{group}-8bits", "json", 4096, fragment, asked, asked)
    for group, nine in enumerate(PARAMETERS, 1)
    if any(bits == 9 for _, bits in nine)
    for asked in [tuple((fresh, 8 if bits == 9 else bits) for fresh, bits in nine)]
    for fragment in (256,)
]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.number) for case in EIGHT])
def test_deflate_client_with_8_bits(case: Deflate) -> None:
    run_deflate(case, "client")
