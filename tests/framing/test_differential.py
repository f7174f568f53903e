"""The plain and the compiled decoder are given the same bytes, right and wrong, and do the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.framing.twins import compiled, decode, plain
from tests.support.driving import naive_mask, pieces
from tests.support.net import frame

payloads = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=10).map(str.encode),
    st.integers(118, 132).map(lambda size: b"\x61" * size),
    st.sampled_from([b"\xed\xa0", b"\xf4\x90", b"\xe0\x80", b"\xf0\x8f", b"\xc3", "\u20ac".encode(), b"\xe2\x82"]),
)
frames = st.builds(
    frame,
    opcode=st.sampled_from([0, 0, 0, 1, 1, 1, 2, 2, 8, 9, 10, 3, 15]),
    payload=payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 0, 0, 0x40, 0x20]),
    mask=st.one_of(st.binary(min_size=4, max_size=4), st.just(b"\x37\xfa\x21\x3d")),
)
#: The same without masks; a stream is of one kind, with a stray frame of the other now and then.
unmasked = st.builds(
    frame,
    opcode=st.sampled_from([0, 0, 0, 1, 1, 1, 2, 2, 8, 9, 10, 3, 15]),
    payload=payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 0, 0, 0x40, 0x20]),
    mask=st.none(),
)
#: Messages that are right, so that streams go on for a while.
good = st.one_of(
    st.builds(
        lambda text, key: frame(1, text.encode(), mask=key), st.text(max_size=40), st.binary(min_size=4, max_size=4)
    ),
    st.builds(
        lambda text, at, key: (
            frame(1, text.encode()[:at], fin=False, mask=key) + frame(0, text.encode()[at:], mask=key)
        ),
        st.text(max_size=40),
        st.integers(0, 40),
        st.binary(min_size=4, max_size=4),
    ),
)
streams = st.one_of(
    st.tuples(st.just(1), st.lists(st.one_of(frames, good, good), max_size=8)),
    st.tuples(st.just(0), st.lists(st.one_of(unmasked, unmasked, frames), max_size=8)),
)


@settings(max_examples=400, deadline=None)
@given(
    stream=streams,
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
    cuts=st.lists(st.integers(0, 400), max_size=10),
    step=st.sampled_from([0, 0, 1, 2, 5]),
    max_length=st.sampled_from([0, 1, 20, 125, 1000]),
    max_fragments=st.sampled_from([1, 2, 1000]),
    reserved=st.sampled_from([0, 0, 0x40, 0x70]),
    raw=st.sampled_from([False, False, False, True]),
    more=st.sampled_from([False, False, False, True]),
)
def test_decoders_given_a_damaged_stream_do_the_same(
    stream: tuple[int, list[bytes]],
    changes: list[tuple[int, int]],
    cuts: list[int],
    step: int,
    max_length: int,
    max_fragments: int,
    reserved: int,
    raw: bool,
    more: bool,
) -> None:
    mask, parts = stream
    data = bytearray(b"".join(parts))
    for at, byte in changes:
        if at < len(data):
            data[at] = byte
    offsets = list(range(0, len(data), step)) if step else sorted(min(at, len(data)) for at in cuts)
    chunks = list(pieces(bytes(data), offsets))
    opcodes = bytes([0, 1, 2, 255, 255, 255, 255, 255, 8, 9, 10, 255, 255, 255, 255, 255])
    arguments = (mask, max_length, max_fragments, reserved, opcodes, more)
    expected = decode(plain(), chunks, *arguments, raw=raw)
    assert decode(compiled(), chunks, *arguments, raw=raw) == expected


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), mask=st.sampled_from([0, 1]), cuts=st.lists(st.integers(0, 200), max_size=10))
def test_decoders_given_any_bytes_do_the_same(data: bytes, mask: int, cuts: list[int]) -> None:
    chunks = list(pieces(data, sorted(min(at, len(data)) for at in cuts)))
    assert decode(compiled(), chunks, mask, 1000, 100) == decode(plain(), chunks, mask, 1000, 100)


@settings(max_examples=300, deadline=None)
@given(
    stream=streams,
    cuts=st.lists(st.integers(0, 400), max_size=6),
    count=st.integers(1, 4),
    tail=st.one_of(
        st.binary(max_size=6),
        st.integers(2030, 9000).map(lambda size: frame(2, b"\x00" * size, mask=b"abcd") + frame(1, b"a") + b"\x89"),
    ),
)
def test_decoders_that_read_few_frames_at_a_time_stop_at_the_same_places(
    stream: tuple[int, list[bytes]], cuts: list[int], count: int, tail: bytes
) -> None:
    mask, parts = stream
    data = b"".join(parts) + tail
    chunks = list(pieces(data, sorted(min(at, len(data)) for at in cuts)))
    seen = []
    for module in (plain(), compiled()):
        decoder, out, stops = module.FrameDecoder(mask, 8500, 100), [], []
        try:
            for chunk in chunks:
                at = 0
                while at < len(chunk):
                    at = decoder.feed(b"." + chunk, at + 1, len(chunk) + 1, out, count) - 1
                    stops.append((at, len(out)))
        except Exception as error:
            stops.append((type(error).__name__, str(error)))
        seen.append((out, stops))
    assert seen[0] == seen[1]
    at_once = decode(plain(), chunks, mask, 8500, 100)[0]
    assert seen[0][0] == [item for items in at_once for item in items]


@settings(max_examples=300, deadline=None)
@given(first=st.integers(0, 255), second=st.integers(0, 255), rest=st.binary(max_size=14), before=st.booleans())
def test_decoders_given_any_header_do_the_same(first: int, second: int, rest: bytes, before: bool) -> None:
    data = (frame(1, b"a", fin=False, mask=None) if before else b"") + bytes([first, second]) + rest
    for mask in (0, 1):
        for chunks in ([data], [data[i : i + 1] for i in range(len(data))]):
            for limit in (0, 2**26 - 1):
                arguments = (mask, limit, 100, 0x20)
                assert decode(compiled(), chunks, *arguments) == decode(plain(), chunks, *arguments)


def test_decoders_given_every_first_two_bytes_do_the_same() -> None:
    tail = bytes(range(1, 15))
    for first in range(256):
        for second in range(256):
            data = bytes([first, second]) + tail
            mask = second >> 7
            assert decode(compiled(), [data], mask, 0, 10, 0x40) == decode(plain(), [data], mask, 0, 10, 0x40)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=300), key=st.binary(min_size=4, max_size=4), offset=st.integers(0, 8))
def test_apply_mask_of_both_is_the_naive_xor(data: bytes, key: bytes, offset: int) -> None:
    expected = naive_mask(data, key, offset)
    for hybi in (plain(), compiled()):
        given = bytearray(data)
        assert hybi.apply_mask(given, key, offset) == expected
        assert given == data, "the input is left alone"


@pytest.mark.parametrize("offset", range(9))
def test_apply_mask_of_both_at_random_lengths_and_places_is_the_naive_xor(offset: int) -> None:
    rng = random.Random(offset)
    buffer = rng.randbytes(70000)
    for _ in range(40):
        size = rng.choice([rng.randrange(70), rng.randrange(1000, 1100), rng.randrange(5000)])
        place = rng.randrange(64)
        key = rng.randbytes(4)
        data = memoryview(buffer)[place : place + size]
        expected = naive_mask(bytes(data), key, offset)
        assert plain().apply_mask(data, key, offset) == expected
        assert compiled().apply_mask(data, key, offset) == expected


@settings(max_examples=200, deadline=None)
@given(
    payload=st.one_of(st.text(max_size=200), st.binary(max_size=200), st.integers(65530, 65540).map(bytes)),
    first=st.integers(0, 255),
    key=st.one_of(st.none(), st.binary(min_size=4, max_size=4)),
)
def test_append_frame_of_both_is_the_same(payload: str | bytes, first: int, key: bytes | None) -> None:
    expected, out = bytearray(b"x"), bytearray(b"x")
    assert plain().append_frame(expected, first, payload, key) == compiled().append_frame(out, first, payload, key)
    data = payload.encode() if isinstance(payload, str) else payload
    assert out == expected == b"x" + frame(first & 15, data, fin=first >= 128, rsv=first & 0x70, mask=key)
