"""The frame decoder and the serialiser, plain and compiled, without a connection around them."""

from __future__ import annotations

import array
import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import wsdriver
from tests.framing.twins import NAMES, compiled, decode, twin
from tests.support.driving import VECTORS, bytes_of, cut, events_of, naive_mask
from tests.support.net import MASK, frame
from wsdriver.framing.opcodes import OPCODES

NO_LIMIT = (0, 2**31)


@pytest.fixture(params=["plain", "compiled"])
def hybi(request: pytest.FixtureRequest) -> ModuleType:
    """Either twin."""
    return twin(request.param)


def vectors() -> Iterator[Any]:
    for name in ("hybi13_frames", "hybi13_messages", "hybi13_closing"):
        for vector in json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8")):
            for side in ("server", "client"):
                if vector.get("side", side) == side:
                    yield pytest.param(vector, side, id=f"{vector['name']}-{side}")


# --- the vectors, once more for each twin ----------------------------------------------------------------------------


@pytest.mark.parametrize(("vector", "side"), [*vectors()])
def test_decoder_given_a_vector_gives_its_messages(hybi: ModuleType, vector: dict[str, Any], side: str) -> None:
    options = vector.get("options", {})
    limits = options.get("max_length", 2**26 - 1), options.get("max_fragments", 131072)
    data = bytes_of(vector["in"], side)
    whole = decode(hybi, cut(data, "whole"), int(side == "server"), *limits)
    for how in ("whole", "bytes", "random"):
        items, error, closed = decode(hybi, cut(data, how, vector["name"]), int(side == "server"), *limits)
        assert (error, closed) == whole[1:], how
        check(vector, [item for out in items for item in out], error, closed)


def check(vector: dict[str, Any], items: list[Any], error: Any, closed: bool) -> None:
    seen: list[Any] = []
    for item in items:
        if not isinstance(item, tuple):
            assert type(item) in (str, bytes)
            seen.append(("message", item))
        elif item[0] != 8:
            opcode, payload, reserved = item
            assert (type(payload), reserved) == (bytes, 0)
            seen.append(({9: "ping", 10: "pong"}[opcode], payload))
    assert seen == [event for event in events_of(vector.get("events", [])) if event[0] != "close"]
    if closed:
        # What the body of a close frame says is not the decoder's business.
        assert any(item[0] == "88" for item in vector["in"] if isinstance(item, list))
    elif "fails" in vector:
        code, kind, word = vector["fails"]
        assert error is not None
        assert error[0] is getattr(wsdriver, kind)
        assert error[2] == code
        assert word in error[1]
    else:
        assert error is None


# --- UTF-8 at the first bad byte -------------------------------------------------------------------------------------

#: Unicode, table 3-7, "Well-Formed UTF-8 Byte Sequences".
WELL_FORMED = [
    [(0x00, 0x7F)],
    [(0xC2, 0xDF), (0x80, 0xBF)],
    [(0xE0, 0xE0), (0xA0, 0xBF), (0x80, 0xBF)],
    [(0xE1, 0xEC), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xED, 0xED), (0x80, 0x9F), (0x80, 0xBF)],
    [(0xEE, 0xEF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF0, 0xF0), (0x90, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF1, 0xF3), (0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF4, 0xF4), (0x80, 0x8F), (0x80, 0xBF), (0x80, 0xBF)],
]


def can_begin(data: bytes) -> bool:
    """Tell whether a character of UTF-8 can begin with these bytes."""
    return any(
        len(data) <= len(row) and all(low <= byte <= high for byte, (low, high) in zip(data, row, strict=False))
        for row in WELL_FORMED
    )


def good_bytes(data: bytes) -> int:
    """Return how many of these bytes can stand in UTF-8."""
    begun = b""
    for index, byte in enumerate(data):
        begun += bytes([byte])
        if not can_begin(begun):
            return index
        if any(len(begun) == len(row) for row in WELL_FORMED if row[0][0] <= begun[0] <= row[0][1]):
            begun = b""
    return len(data)


EDGES = sorted({edge for row in WELL_FORMED for bounds in row for edge in bounds} | {0xC0, 0xC1, 0xF5, 0xFF})

#: Every first byte with every second, and the bounds of all bytes behind them; with the number of good bytes.
BEGINNINGS = [
    (data, good_bytes(data))
    for data in [
        *(bytes([a, b]) for a in range(0x7F, 0x100) for b in [0, *range(0x7F, 0x100)]),
        *(bytes([a, b, c]) for a in (0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xF0, 0xF1, 0xF4) for b in EDGES for c in EDGES),
        *(bytes([a, 0x90, b, c]) for a in (0xF0, 0xF1, 0xF4) for b in EDGES for c in EDGES),
    ]
]


@pytest.mark.parametrize("at_once", [True, False])
def test_decoder_refuses_each_byte_that_no_character_can_have(hybi: ModuleType, at_once: bool) -> None:
    """At that byte, in the middle of an unfinished frame, and not before."""
    start = frame(1, bytes(100))[:6]
    for data, good in BEGINNINGS:
        payload = naive_mask(data, MASK)
        decoder = hybi.FrameDecoder(1, 0, 10)
        decoder.feed(start, 0, 6, [])
        accepted = 0
        try:
            if at_once:
                decoder.feed(payload, 0, len(data), [])
                accepted = len(data)
            else:
                for index in range(len(data)):
                    decoder.feed(payload, index, index + 1, [])
                    accepted += 1
        except wsdriver.InvalidPayload:
            assert good < len(data), data.hex(" ")
        if not at_once:
            assert accepted == good, data.hex(" ")
        else:
            assert accepted == (len(data) if good == len(data) else 0), data.hex(" ")


@pytest.mark.parametrize("masked", [True, False])
def test_decoder_given_long_texts_cut_anywhere_decodes_them(hybi: ModuleType, masked: bool) -> None:
    text = "a" * 37 + "\xe9\u20ac\U0001f600" * 9 + "b" * 50 + "\ud7ff\ue000\U0010ffff" + "c" * 17
    data = frame(1, text.encode(), mask=MASK if masked else None)
    for at in range(len(data) + 1):
        items, error, _ = decode(hybi, [data[:at], data[at:]], int(masked), *NO_LIMIT)
        assert error is None
        assert [item for out in items for item in out] == [text]


# --- what is fed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))])
def test_decoder_takes_any_bytes_and_changes_none(hybi: ModuleType, kind: Any) -> None:
    data = frame(1, b"text") + frame(2, b"\xff" * 200) + frame(9, b"p") + frame(1, b"half")
    given = kind(data)
    decoder = hybi.FrameDecoder(1, *NO_LIMIT)
    out: list[Any] = []
    decoder.feed(given, 0, 3, out)
    decoder.feed(given, 3, len(data) - 2, out)
    assert out == ["text", b"\xff" * 200, (9, b"p", 0)]
    assert bytes(given) == data
    if isinstance(given, bytearray):
        given[:] = b"\0" * len(data)  # a host's buffer is used again: what waits must have been copied
        given += b"more"  # ... and nothing may hold it
    decoder.feed(data, len(data) - 2, len(data), out)
    assert out[-1] == "half"


def test_decoder_given_a_buffer_of_other_items_reads_its_bytes(hybi: ModuleType) -> None:
    data = frame(2, b"\xff" * 6)
    shorts = memoryview(array.array("H", data))
    decoder = hybi.FrameDecoder(1, *NO_LIMIT)
    out: list[Any] = []
    decoder.feed(shorts, 0, len(data), out)
    assert out == [b"\xff" * 6]


def test_decoder_given_an_empty_range_reads_nothing(hybi: ModuleType) -> None:
    decoder = hybi.FrameDecoder(1, *NO_LIMIT)
    out: list[Any] = []
    decoder.feed(b"\xff\xff", 1, 1, out)
    decoder.feed(b"", 0, 0, out)
    decoder.feed(frame(1, b"a"), 0, 7, out)
    assert out == ["a"]


@pytest.mark.parametrize("alignment", range(9))
def test_decoder_at_any_alignment_unmasks(hybi: ModuleType, alignment: int) -> None:
    for size in [*range(20), 63, 64, 65, 4095, 4096, 4097, 5000]:
        payload = bytes(i * 31 & 0xFF for i in range(size))
        data = b"\xaa" * alignment + frame(2, payload)
        decoder = hybi.FrameDecoder(1, *NO_LIMIT)
        out: list[Any] = []
        decoder.feed(data, alignment, len(data), out)
        assert out == [payload]


@pytest.mark.parametrize("size", [1, 2, 4095, 4096, 4097, 10000])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("char", ["a", "\xe9", "\u20ac", "\U0001f600"])
def test_decoder_given_texts_of_all_kinds_of_storage_decodes_them(
    hybi: ModuleType, size: int, masked: bool, char: str
) -> None:
    for text in (char * size, "a" * size + char, char + "a" * size):
        data = frame(1, text.encode(), mask=MASK if masked else None)
        items, error, _ = decode(hybi, [data], int(masked), *NO_LIMIT)
        assert (items, error) == ([[text]], None)
        assert items[0][0].isascii() is text.isascii()


def test_decoder_after_a_close_frame_is_closed(hybi: ModuleType) -> None:
    decoder = hybi.FrameDecoder(1, *NO_LIMIT)
    out: list[Any] = []
    assert decoder.closed is False
    data = frame(8, b"\x03\xe8") + b"\xff" * 50
    decoder.feed(data, 0, len(data), out)
    decoder.feed(data, 0, len(data), out)
    assert out == [(8, b"\x03\xe8", 0)]
    assert decoder.closed is True


def test_decoder_with_new_limits_obeys_them(hybi: ModuleType) -> None:
    decoder = hybi.FrameDecoder(1, 5, 10)
    decoder.max_length = 2
    with pytest.raises(wsdriver.MessageTooBig):
        decoder.feed(frame(1, b"abc"), 0, 9, [])


def test_decoder_keeps_memory_in_proportion_to_what_came(hybi: ModuleType) -> None:
    """CVE-2026-54274: a header that declares much, and nothing behind it."""
    for declared in (b"\x7f" + (2**40).to_bytes(8, "big"), b"\x7f\x7f" + b"\xff" * 7):
        decoder = hybi.FrameDecoder(0, *NO_LIMIT)
        decoder.feed(b"\x82" + declared, 0, 10, [])
        decoder.feed(b"x" * 1000, 0, 1000, [])


# --- what is read to where it belongs ---------------------------------------------------------------------------------


def read_on(decoder: Any, data: bytes, first: int, most: int, piece: int) -> tuple[list[Any], Any, int]:
    """Feed ``first`` bytes; put the rest into the decoder's own memory where it offers some, at most ``piece`` at once.

    Returns:
        the items, the error, and how often there was memory.
    """
    out: list[Any] = []
    offered = 0
    try:
        decoder.feed(data, 0, first, out)
        at = first
        while at < len(data):
            room = decoder.room(most)
            if room is None:
                stop = min(len(data), at + piece)
                decoder.feed(data, at, stop, out)
                at = stop
                continue
            assert 0 < len(room) <= most
            offered += 1
            count = min(piece, len(room), len(data) - at)
            room[:count] = data[at : at + count]
            decoder.filled(count, out)
            at += count
    except wsdriver.ProtocolError as error:
        return out, (type(error), str(error)), offered
    return out, None, offered


SIZE = 300_001

LARGE: dict[str, list[tuple[int, bytes, bool]]] = {
    "binary": [(2, bytes(range(251)) * 1200, True)],
    "text": [(1, b"x" * SIZE, True)],
    "text beyond ASCII": [(1, "x\xe9\u20ac\U0001f600".encode() * 30_000, True)],
    "text with a bad byte": [(1, b"x" * 200_000 + b"\xff" + b"x" * 100_000, True)],
    "text that breaks off": [(1, b"x" * SIZE + b"\xe2\x82", True)],
    "fragments": [(2, b"a" * 100_003, False), (0, b"b" * 200_001, False), (0, b"c", False), (0, b"d" * 70_000, True)],
    "fragments of text": [(1, b"a" * 99_999 + b"\xe2", False), (0, b"\x82\xac" + b"b" * 150_000, True)],
    "fragments that end with none": [(2, b"a" * 100_003, False), (0, b"", True)],
    "control frames between": [(1, b"a" * 100_000, False), (9, b"ping", True), (0, b"b" * 100_000, True)],
    "two, and a small one": [(2, b"a" * 100_000, True), (2, b"b" * 200_000, True), (1, b"c", True)],
}


@functools.cache
def large(name: str, masked: bool) -> bytes:
    frames = LARGE[name]
    return b"".join(frame(opcode, data, fin=fin, mask=MASK if masked else None) for opcode, data, fin in frames)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("name", LARGE)
def test_decoder_that_is_filled_does_as_one_that_is_fed(hybi: ModuleType, name: str, masked: bool, raw: bool) -> None:
    data = large(name, masked)
    fed = hybi.FrameDecoder(int(masked), *NO_LIMIT)
    fed.raw = raw
    expected: list[Any] = []
    error = None
    try:
        fed.feed(data, 0, len(data), expected)
    except wsdriver.ProtocolError as caught:
        error = (type(caught), str(caught))
    for first, most, piece in [(1, 2**20, 2**20), (14, 2**20, 2**20), (15, 2**20, 65_537), (40_001, 70_001, 2**20)]:
        decoder = hybi.FrameDecoder(int(masked), *NO_LIMIT)
        decoder.raw = raw
        items, seen, offered = read_on(decoder, data, first, most, piece)
        assert seen == error
        assert items == expected
        assert [type(item) for item in items] == [type(item) for item in expected]
        if hybi.COMPILED and piece < len(data):
            assert offered > 0


def test_decoder_offers_no_room_where_little_is_awaited(hybi: ModuleType) -> None:
    decoder = hybi.FrameDecoder(1, *NO_LIMIT)
    assert decoder.room(2**20) is None
    data = frame(2, bytes(100_000))
    for end in (1, 13, len(data) - 1000, len(data)):
        decoder = hybi.FrameDecoder(1, *NO_LIMIT)
        decoder.feed(data, 0, end, [])
        assert decoder.room(2**20) is None
    decoder = hybi.FrameDecoder(1, *NO_LIMIT)
    decoder.feed(frame(8), 0, 6, [])
    assert decoder.room(2**20) is None


def test_decoder_filled_with_more_than_its_room_raises(hybi: ModuleType) -> None:
    with pytest.raises(IndexError, match="room"):
        hybi.FrameDecoder(1, *NO_LIMIT).filled(1, [])
    decoder = hybi.FrameDecoder(1, *NO_LIMIT)
    decoder.feed(frame(2, bytes(100_000), fin=False), 0, 14, [])  # the header alone
    for count in (-1, 1, 100_001):  # nobody asked for room
        with pytest.raises(IndexError, match="room"):
            decoder.filled(count, [])
    if decoder.room(70_000) is not None:
        decoder.filled(0, [])
        with pytest.raises(IndexError, match="room"):
            decoder.filled(70_001, [])
        decoder.filled(70_000, [])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep memory by rules of their own")
def test_decoder_of_large_messages_gets_no_new_pages_for_each() -> None:
    """Four of 1 MiB at a time, over and over: freed memory is used again. Counted by a process of its own."""
    compiled()
    program = (
        "import resource, sys\n"
        "from wsdriver.framing.hybi import FrameDecoder\n"
        "head = b'\\x82\\x7f' + (2**20).to_bytes(8, 'big')\n"
        "body = bytes(2**20)\n"
        "def four():\n"
        "    out = []\n"
        "    for decoder in [FrameDecoder(0, 2**24, 9) for _ in range(4)]:\n"
        "        decoder.feed(head, 0, 10, out)\n"
        "        decoder.feed(body, 0, 2**20, out)\n"
        "    assert len(out) == 4\n"
        "for _ in range(5):\n"
        "    four()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20):\n"
        "    four()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    env = {key: value for key, value in os.environ.items() if key != "WSDRIVER_PURE" and "MALLOC" not in key}
    done = subprocess.run([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, check=True, timeout=60)
    assert int(done.stdout) < 20 * 4 * 25  # of 20 * 4 * 256 pages


# --- reserved bits that an extension owns ----------------------------------------------------------------------------


def test_decoder_with_an_owned_bit_gives_the_message_with_its_bits(hybi: ModuleType) -> None:
    chunks = [
        frame(1, b"\xff\xfe", rsv=0x40),
        frame(2, b"b", rsv=0x40),
        frame(1, b"plain"),
        frame(1, b"\xff", rsv=0x40, fin=False) + frame(9, b"p") + frame(0, b"\xfe"),
        frame(2, b"", rsv=0x40, fin=False) + frame(0, b""),
        frame(1, b"", rsv=0x40),
    ]
    items = decode(hybi, chunks, 1, 0, 10, 0x40)[0]
    assert items == [
        [(1, b"\xff\xfe", 0x40)],
        [(2, b"b", 0x40)],
        ["plain"],
        [(9, b"p", 0), (1, b"\xff\xfe", 0x40)],
        [(2, b"", 0x40)],
        [(1, b"", 0x40)],
    ]


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (frame(1, b"a", rsv=0x20), "RSV2"),
        (frame(1, b"a", rsv=0x60), "RSV2"),
        (frame(9, b"a", rsv=0x40), "control frame has a reserved bit"),
        (frame(1, b"a", rsv=0x40, fin=False) + frame(0, b"b", rsv=0x40), "continuation frame has a reserved bit"),
        (frame(0, b"b", rsv=0x40), "no message to continue"),
    ],
)
def test_decoder_with_an_owned_bit_in_the_wrong_place_fails(hybi: ModuleType, data: bytes, word: str) -> None:
    _, error, _ = decode(hybi, [data], 1, 0, 10, 0x40)
    assert error[0] is wsdriver.ProtocolError
    assert word in error[1]


def test_decoder_with_reserved_bits_changed_later_obeys_them(hybi: ModuleType) -> None:
    decoder = hybi.FrameDecoder(1, 0, 10)
    assert decoder.reserved == 0
    decoder.reserved = 0x70
    out: list[Any] = []
    data = frame(2, b"a", rsv=0x70)
    decoder.feed(data, 0, len(data), out)
    assert out == [(2, b"a", 0x70)]


@pytest.mark.parametrize(
    ("sizes", "rsv", "right"),
    [
        ([10], 0, True),
        ([11], 0, False),
        ([74], 0x40, True),
        ([75], 0x40, False),
        ([5, 5], 0, True),
        ([5, 6], 0, False),
        ([5, 69], 0x40, True),
        ([5, 70], 0x40, False),
    ],
)
def test_decoder_lets_packed_messages_be_a_little_longer(
    hybi: ModuleType, sizes: list[int], rsv: int, right: bool
) -> None:
    """What an extension has packed may be longer than what it unpacks to (zlib stores what it cannot compress)."""
    data = b"".join(
        frame(2 if not i else 0, bytes(size), rsv=0 if i else rsv, fin=i == len(sizes) - 1)
        for i, size in enumerate(sizes)
    )
    items, error, _ = decode(hybi, [data], 1, 10, 10, 0x40)
    if right:
        assert error is None
        assert items == [[(2, bytes(sum(sizes)), rsv) if rsv else bytes(sum(sizes))]]
    else:
        assert error[0] is wsdriver.MessageTooBig
        assert "limit of 10" in error[1]


# --- serialising -----------------------------------------------------------------------------------------------------

TEXTS = ["", "a", "Hello", "\x7f", "\x80", "\xe9", "\xff", "\u20ac", "\U0001f600", "a\xe9\u20ac\U0001f600", "x" * 70000]


@pytest.mark.parametrize("key", [None, MASK, b"\0\0\0\0", b"\xff\x00\x01\x80"])
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_append_frame_of_text_is_by_the_book(hybi: ModuleType, text: str, key: bytes | None) -> None:
    out = bytearray(b"before")
    assert hybi.append_frame(out, 0x81, text, key) == len(text.encode())
    assert bytes(out) == b"before" + frame(1, text.encode(), mask=key)


@pytest.mark.parametrize("key", [None, MASK])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 124, 125, 126, 127, 1023, 1024, 1025, 65535, 65536, 65537])
def test_append_frame_of_bytes_is_by_the_book(hybi: ModuleType, size: int, key: bytes | None) -> None:
    data = bytes(i * 7 & 0xFF for i in range(size))
    for kind in (bytes, bytearray, memoryview):
        out = bytearray()
        given = kind(data)
        assert hybi.append_frame(out, 0x42, given, key) == size
        assert bytes(out) == frame(2, data, fin=False, rsv=0x40, mask=key)
        assert bytes(given) == data
        if isinstance(given, bytearray):
            given += b"not held"


@pytest.mark.parametrize(
    "data",
    [
        memoryview(bytes(range(99)))[::3],
        memoryview(bytes(range(9)))[::-1],
        memoryview(array.array("I", [1, 2, 3])),
        array.array("B", [1, 2, 3]),
        type("Bytes", (bytes,), {})(b"subclass"),
    ],
    ids=["steps", "backwards", "ints", "array", "subclass"],
)
@pytest.mark.parametrize("key", [None, MASK])
def test_append_frame_of_odd_buffers_is_by_the_book(hybi: ModuleType, data: Any, key: bytes | None) -> None:
    plain = bytes(memoryview(data))
    out = bytearray()
    assert hybi.append_frame(out, 0x82, data, key) == len(plain)
    assert bytes(out) == frame(2, plain, mask=key)


@pytest.mark.parametrize("text", ["caf\xe9", "ascii", "\U0001f600"])
def test_append_frame_of_a_str_subclass_is_by_the_book(hybi: ModuleType, text: str) -> None:
    out = bytearray()
    hybi.append_frame(out, 0x81, type("Name", (str,), {})(text), None)
    assert bytes(out) == frame(1, text.encode(), mask=None)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ("\ud800", UnicodeEncodeError),
        ("a" * 300 + "\udfff", UnicodeEncodeError),
        (None, TypeError),
        (5, TypeError),
        ([1, 2], TypeError),
        (1.5, TypeError),
        (object(), TypeError),
    ],
)
@pytest.mark.parametrize("key", [None, MASK])
def test_append_frame_of_what_cannot_be_sent_appends_nothing(
    hybi: ModuleType, payload: Any, error: type[Exception], key: bytes | None
) -> None:
    out = bytearray(b"before")
    with pytest.raises(error):
        hybi.append_frame(out, 0x81, payload, key)
    assert out == b"before"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 2**32, 2**62])
def test_append_head_is_the_head_of_a_frame(hybi: ModuleType, size: int) -> None:
    out = bytearray(b"before")
    assert not hybi.append_head(out, 0x82, size)
    if size <= 65536:
        expected = frame(2, bytes(size), mask=None)
        expected = expected[: len(expected) - size]
    else:
        expected = b"\x82\x7f" + size.to_bytes(8, "big")
    assert bytes(out) == b"before" + expected


def test_frames_appended_are_read_back(hybi: ModuleType) -> None:
    out = bytearray()
    sent: list[str | bytes] = ["", "a", "\xe9" * 100, b"\xff" * 130, "x" * 66000, b""]
    for message in sent:
        hybi.append_frame(out, 0x81 if isinstance(message, str) else 0x82, message, MASK)
    assert decode(hybi, [bytes(out)], 1, *NO_LIMIT) == ([sent], None, False)


# --- masking ---------------------------------------------------------------------------------------------------------


def test_apply_mask_of_the_rfc_is_its_payload(hybi: ModuleType) -> None:
    assert hybi.apply_mask(b"Hello", bytes.fromhex("37 fa 21 3d")) == bytes.fromhex("7f 9f 4d 51 58")


@pytest.mark.parametrize("offset", range(9))
def test_apply_mask_at_any_offset_is_the_naive_xor(hybi: ModuleType, offset: int) -> None:
    for size in [*range(40), 63, 64, 65, 1022, 1023, 1024, 1025, 1026, 1027, 4099]:
        data = bytes(i * 37 + 11 & 0xFF for i in range(size))
        expected = naive_mask(data, MASK, offset)
        for kind in (bytes, bytearray, memoryview):
            given = kind(data)
            result = hybi.apply_mask(given, MASK, offset)
            assert type(result) is bytes
            assert result == expected
            assert bytes(given) == data


@pytest.mark.parametrize(("key", "size"), [(b"", 5), (b"abc", 5), (b"12345678", 0), (b"abcde", 2000)])
def test_apply_mask_with_a_key_of_other_size_is_a_value_error(hybi: ModuleType, key: bytes, size: int) -> None:
    with pytest.raises(ValueError, match="masking key has 4 bytes"):
        hybi.apply_mask(bytes(size), key)


@pytest.mark.parametrize("size", [10, 4000])
def test_apply_mask_of_a_buffer_of_other_items_masks_its_bytes(hybi: ModuleType, size: int) -> None:
    data = array.array("H", bytes(i & 0xFF for i in range(size)))
    assert hybi.apply_mask(memoryview(data), MASK) == naive_mask(data.tobytes(), MASK)


@pytest.mark.parametrize("data", ["text", None, 5])
def test_apply_mask_of_what_has_no_bytes_is_a_type_error(hybi: ModuleType, data: Any) -> None:
    with pytest.raises(TypeError):
        hybi.apply_mask(data, MASK)


# --- tables of other versions ----------------------------------------------------------------------------------------

OLD_OPCODES = bytes([0, 8, 9, 10, 1, 2] + [255] * 10)


def test_decoder_with_another_table_reads_its_opcodes(hybi: ModuleType) -> None:
    """hybi-01 to -06 number the opcodes otherwise; -01 to -03 have MORE where FIN is now."""
    old = b"\x04\x05Hello" + b"\x84\x03Hel\x00\x02lo" + b"\x05\x01b" + b"\x02\x01p\x03\x01q" + b"\x01\x00" + b"junk"
    items, error, closed = decode(hybi, [old], 0, 0, 10, 0, OLD_OPCODES, True)
    assert error is None
    assert items == [["Hello", "Hello", b"b", (9, b"p", 0), (10, b"q", 0), (8, b"", 0)]]
    assert closed is True


def test_decoder_with_another_table_refuses_what_it_lacks(hybi: ModuleType) -> None:
    _, error, _ = decode(hybi, [b"\x86\x00"], 0, 0, 10, 0, OLD_OPCODES)
    assert error[0] is wsdriver.ProtocolError
    assert "opcode 0x6" in error[1]


@pytest.mark.parametrize("table", [b"", bytes(15), bytes(17)])
def test_decoder_with_a_table_of_other_size_is_a_value_error(hybi: ModuleType, table: bytes) -> None:
    with pytest.raises(ValueError, match="16"):
        hybi.FrameDecoder(0, 0, 10, 0, table)


def test_decoder_that_is_raw_gives_all_messages_as_bytes(hybi: ModuleType) -> None:
    data = frame(1, b"\xff") + frame(2, b"b") + frame(1, b"\xc3", fin=False) + frame(9) + frame(0, b"\xff")
    items, error, _ = decode(hybi, cut(data, "whole"), 1, 0, 10, raw=True)
    expected = [(1, b"\xff", 0), (2, b"b", 0), (9, b"", 0), (1, b"\xc3\xff", 0)]
    assert (items, error) == ([expected], None)
    items, error, _ = decode(hybi, cut(data, "bytes"), 1, 0, 10, raw=True)
    assert ([item for out in items for item in out], error) == (expected, None)


# --- the twins as such -----------------------------------------------------------------------------------------------


def test_twin_has_all_the_names(hybi: ModuleType) -> None:
    assert [name for name in NAMES if not hasattr(hybi, name)] == []
    assert sorted({*hybi.__all__, "COMPILED"}) == sorted(NAMES)
    decoder = hybi.FrameDecoder(1, 5, 6, 0x40, OPCODES, False)
    assert (decoder.max_length, decoder.max_fragments, decoder.reserved, decoder.closed) == (5, 6, 0x40, False)


def test_twin_says_which_it_is() -> None:
    assert twin("plain").COMPILED is False
    assert twin("compiled").COMPILED is True
