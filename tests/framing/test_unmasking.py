"""The masks of hybi-04 to -06, against the drafts' words and frames made by hand."""

from __future__ import annotations

import hashlib
import random
import struct
import tracemalloc
from collections.abc import Callable, Iterable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.driving import CHUNKINGS, Chunk, cut, pieces
from wsdriver.framing.hybi import FrameDecoder, Item
from wsdriver.framing.unmasking import FrameUnmasker, frame_mask_04, masking_key_04

#: Of draft -04 §1.2: its example's key and nonce.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
NONCE = "AQIDBAUGBwgJCgsMDQ4PEC=="

PREFIX = b"\x37\xfa\x21\x3d"

SIZES = [0, 1, 3, 4, 5, 19, 20, 21, 125, 126, 127, 65535, 65536, 70001]

derive = partial(frame_mask_04, masking_key=masking_key_04(KEY, NONCE))


def frame(first: int, payload: bytes) -> bytes:
    """Return a frame without a mask."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 65536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def masked_05(clear: bytes, prefix: bytes = PREFIX) -> bytes:
    """Mask a whole frame by the words of draft -05 §4.3: octet i with octet i MOD 4 of the masking key."""
    return prefix + bytes(octet ^ prefix[i % 4] for i, octet in enumerate(clear))


def masked_04(clear: bytes, prefix: bytes = PREFIX) -> bytes:
    """Mask a whole frame by the words of draft -04 §4.3."""
    guid = b"61AC5F19-FBBA-4540-B96F-6561F1AB40A8"
    masking_key = hashlib.sha1(KEY.encode() + NONCE.encode() + guid).digest()
    mask = hashlib.sha1(prefix + masking_key).digest()
    return prefix + bytes(octet ^ mask[i % 20] for i, octet in enumerate(clear))


DRAFTS = [pytest.param(masked_04, derive, id="hybi-04"), pytest.param(masked_05, None, id="hybi-05")]

Mask = Callable[[bytes, bytes], bytes]
Derive = Callable[[bytes], bytes] | None


def unmask(chunks: Iterable[Chunk], derive: Derive) -> bytes:
    unmasker = FrameUnmasker(derive)
    return b"".join(map(unmasker.feed, chunks))


def payload_of(size: int) -> bytes:
    return bytes(i * 31 % 251 for i in range(size))


# --- keys ------------------------------------------------------------------------------------------------------------


def test_masking_key_of_the_drafts_example_is_what_sha1sum_says() -> None:
    """Of ``printf %s "$KEY$NONCE$GUID" | sha1sum``: the draft prints no result."""
    assert masking_key_04(KEY, NONCE).hex() == "41e14f78311e4c34283e6d8b363b8848d58591a7"


def test_frame_mask_is_of_nonce_and_masking_key() -> None:
    assert frame_mask_04(b"\x01\x02\x03\x04", b"k" * 20) == hashlib.sha1(b"\x01\x02\x03\x04" + b"k" * 20).digest()


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize(("mask", "derive"), DRAFTS)
def test_unmasker_given_frames_in_chunks_gives_them_without_masks(mask: Mask, derive: Derive, how: str) -> None:
    rng = random.Random(how)
    clear = [frame(0x84, payload_of(size)) for size in SIZES] + [frame(0x02, b"ping"), frame(0x81, b"")]
    stream = b"".join(mask(data, rng.randbytes(4)) for data in clear)
    assert unmask(cut(stream, how, "frames"), derive) == b"".join(clear)


@pytest.mark.parametrize(("mask", "derive"), DRAFTS)
@pytest.mark.parametrize("size", [0, 5, 126, 65536])
def test_unmasker_gives_each_byte_as_soon_as_its_frames_header_is_complete(
    mask: Mask, derive: Derive, size: int
) -> None:
    clear = frame(0x84, payload_of(size))
    header = len(clear) - size
    unmasker = FrameUnmasker(derive)
    given = b""
    for index, byte in enumerate(mask(clear, PREFIX)[:200]):
        given += unmasker.feed(bytes([byte]))
        seen = index + 1 - len(PREFIX)
        assert given == (clear[:seen] if seen >= header else b"")


@pytest.mark.parametrize(("mask", "derive"), DRAFTS)
def test_unmasker_holds_back_no_more_than_a_header(mask: Mask, derive: Derive) -> None:
    stream = mask(frame(0x85, b"x" * 10_000_000), PREFIX)
    unmasker = FrameUnmasker(derive)
    unmasker.feed(stream[:20])
    tracemalloc.start()
    try:
        for start in range(20, len(stream), 10_000):
            unmasker.feed(stream[start : start + 10_000])
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_unmasker_keeps_nothing_of_its_hosts_buffer() -> None:
    stream = masked_05(frame(0x84, b"Hello"))
    unmasker = FrameUnmasker(None)
    buffer = bytearray(stream[:5])
    assert unmasker.feed(memoryview(buffer)) == b""
    buffer[:] = b"\xff" * 5
    buffer += b"more"  # nothing may hold it
    assert unmasker.feed(bytearray(stream[5:])) == frame(0x84, b"Hello")


@pytest.mark.parametrize("length", [b"\x7f" + b"\xff" * 8, b"\x7f" + bytes(8), b"\x7e\x00\x05", b"\xff" + b"\xff" * 8])
def test_unmasker_leaves_a_wrong_length_to_the_decoder(length: bytes) -> None:
    clear = b"\x84" + length + b"Hello"
    assert unmask([masked_05(clear)], None)[: len(clear) - 5] == clear[:-5]


@given(
    st.lists(st.one_of(st.binary(max_size=40), st.binary(max_size=300).map(lambda data: masked_05(frame(4, data))))),
    st.lists(st.integers(0, 400), max_size=6),
    st.booleans(),
)
def test_unmasker_given_any_bytes_in_any_chunks_gives_the_same(
    parts: list[bytes], cuts: list[int], nonces: bool
) -> None:
    data = b"".join(parts)
    how = derive if nonces else None
    whole = unmask([data], how)
    assert len(whole) <= len(data)
    assert unmask(pieces(data, sorted(cuts)), how) == whole
    assert unmask((data[i : i + 1] for i in range(len(data))), how) == whole


# --- in front of the decoder -----------------------------------------------------------------------------------------

OLD_OPCODES = bytes([0, 8, 9, 10, 1, 2, *[255] * 10])


@pytest.mark.parametrize(("mask", "derive"), DRAFTS)
def test_unmasker_in_front_of_a_decoder_gives_messages(mask: Mask, derive: Derive) -> None:
    stream = (
        mask(frame(0x04, b"Hel"), b"\x00\x00\x00\x00")
        + mask(frame(0x82, b"?"), b"\xff\xff\xff\xff")
        + mask(frame(0x80, "lö".encode()), PREFIX)
        + mask(frame(0x85, payload_of(300)), PREFIX)
        + mask(frame(0x81, b""), PREFIX)
    )
    for size in (1, 7, len(stream)):
        unmasker = FrameUnmasker(derive)
        decoder = FrameDecoder(0, 0, 100, 0, OLD_OPCODES)
        out: list[Item] = []
        for start in range(0, len(stream), size):
            data = unmasker.feed(stream[start : start + size])
            decoder.feed(data, 0, len(data), out)
        assert out == [(9, b"?", 0), "Hellö", payload_of(300), (8, b"", 0)]
        assert decoder.closed
