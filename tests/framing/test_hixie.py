"""The frames of hixie-75 and hixie-76: the drafts' rules, their bounds, and hostile bytes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.framing.test_hybi import BEGINNINGS
from tests.support.driving import CHUNKINGS, cut, pieces
from wsdriver.exceptions import InvalidPayload, MessageTooBig, ProtocolError
from wsdriver.framing.hixie import CLOSING_FRAME, HixieDecoder, append_text

CLOSED = (8, b"", 0)

#: What one decoder made of some chunks: the items, the error's type, code and sentence, and whether it is closed.
Outcome = tuple[list[Any], Any, bool]


def decode(chunks: Iterable[Any], max_length: int = 0, closing: bool = True) -> Outcome:
    decoder = HixieDecoder(max_length, closing)
    out: list[Any] = []
    for chunk in chunks:
        try:
            decoder.feed(chunk, 0, len(chunk), out)
        except ProtocolError as error:
            return out, (type(error), error.code, str(error)), decoder.closed
    return out, None, decoder.closed


def reference(data: bytes, max_length: int, closing: bool) -> tuple[list[Any], type[ProtocolError] | None, bool]:
    """Decode byte by byte, as the drafts say it (hixie-76 §5.3), with the bounds of wire.md."""
    out: list[Any] = []
    at = 0
    while at < len(data):
        kind = data[at]
        at += 1
        if kind & 0x80:
            length = count = 0
            while True:
                if at == len(data):
                    return out, None, False
                byte = data[at]
                at += 1
                count += 1
                length = length * 128 + (byte & 0x7F)
                if max_length and length > max_length:
                    return out, MessageTooBig, False
                if not byte & 0x80:
                    break
                if count == 10:
                    return out, ProtocolError, False
            if kind == 0xFF and length == 0 and closing:
                return [*out, CLOSED], None, True
            at += length
            continue
        raw = bytearray()
        while True:
            if at == len(data):
                return out, None, False
            byte = data[at]
            at += 1
            if byte == 0xFF:
                break
            raw.append(byte)
            if kind == 0:
                if max_length and len(raw) > max_length:
                    return out, MessageTooBig, False
                if not may_go_on(raw):
                    return out, InvalidPayload, False
        if kind == 0:
            try:
                out.append(raw.decode())
            except UnicodeDecodeError:
                return out, InvalidPayload, False
    return out, None, False


def may_go_on(data: bytes | bytearray) -> bool:
    """Tell whether UTF-8 can begin with these bytes."""
    tails = [b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xa0\x80", b"\xa0", b"\x90\x80\x80"]
    for tail in tails:
        try:
            bytes(data + tail).decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


# --- the drafts' frames ----------------------------------------------------------------------------------------------

#: name, bytes, items in hixie-76.
FRAMES = [
    ("a text", b"\x00Hello\xff", ["Hello"]),
    ("an empty text", b"\x00\xff", [""]),
    ("text of all lengths of characters", b"\x00" + "aé€😀".encode() + b"\xff", ["aé€😀"]),
    ("a text with zeros, which are characters too", b"\x00\x00a\x00\xff", ["\x00a\x00"]),
    ("two texts", b"\x00a\xff\x00b\xff", ["a", "b"]),
    ("a long text", b"\x00" + b"x" * 70000 + b"\xff", ["x" * 70000]),
    ("a frame with a length is dropped", b"\x80\x05Hello\x00a\xff", ["a"]),
    ("a frame with an FF in it is dropped", b"\x80\x03\x00x\xff\x00a\xff", ["a"]),
    ("a dropped frame of no bytes", b"\x80\x00\x00a\xff", ["a"]),
    ("a dropped frame whose length has two bytes", b"\x81\x81\x00" + b"\x00" * 128 + b"\x00a\xff", ["a"]),
    ("a dropped frame whose length has leading zeros", b"\xfe\x80\x80\x01?\x00a\xff", ["a"]),
    ("type FF with bytes is no closing frame", b"\xff\x01?\x00a\xff", ["a"]),
    ("type 80 without bytes is no closing frame", b"\x80\x80\x00\x00a\xff", ["a"]),
    ("frames of types 01 to 7F end like texts", b"\x01a\xff\x7fb\xff\x00c\xff", ["c"]),
    ("a frame of type 01 need not be UTF-8", b"\x01\x80\xc3\xff\x00c\xff", ["c"]),
    ("an empty frame of type 01", b"\x01\xff\x00c\xff", ["c"]),
    ("the closing frame", CLOSING_FRAME, [CLOSED]),
    ("the closing frame behind a text", b"\x00a\xff\xff\x00", ["a", CLOSED]),
    ("the closing frame with a longer zero", b"\xff\x80\x80\x00", [CLOSED]),
    ("what follows the closing frame is dropped", b"\xff\x00\x00a\xff\x00\x80\xff\xff\x00", [CLOSED]),
    ("half a text is no message", b"\x00Hell", []),
]


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize(("data", "items"), [pytest.param(*frame[1:], id=frame[0]) for frame in FRAMES])
def test_decoder_given_frames_in_chunks_gives_their_messages(data: bytes, items: list[Any], how: str) -> None:
    assert decode(cut(data, how, str(data)), 2**26) == (items, None, CLOSED in items)


@pytest.mark.parametrize("how", CHUNKINGS)
def test_decoder_without_a_closing_frame_drops_it(how: str) -> None:
    """hixie-75: FF is a type as any other."""
    assert decode(cut(b"\xff\x00\x00a\xff\xff\x02\xff\x00\x00b\xff", how), closing=False) == (["a", "b"], None, False)


def test_decoder_given_bounds_reads_between_them() -> None:
    decoder = HixieDecoder(0, True)
    out: list[Any] = []
    data = b"\xff\x00\x00abc\xff\xff\x00"
    decoder.feed(data, 2, 5, out)
    decoder.feed(data, 5, 5, out)
    decoder.feed(data, 5, 7, out)
    assert out == ["abc"]


def test_decoder_keeps_nothing_of_its_hosts_buffer() -> None:
    decoder = HixieDecoder(0, True)
    out: list[Any] = []
    buffer = bytearray(b"\x00ab\xc3")
    decoder.feed(memoryview(buffer), 0, 4, out)
    buffer[:] = b"\xffxyz"
    buffer += b"more"  # nothing may hold it
    decoder.feed(bytearray(b"\xa9c\xff"), 0, 3, out)
    assert out == ["abéc"]


def test_decoder_has_what_a_driver_sets() -> None:
    decoder = HixieDecoder(3, True)
    decoder.reserved = 0x40
    decoder.max_length = 2
    assert decoder.closed is False
    with pytest.raises(MessageTooBig):
        decoder.feed(b"\x00abc\xff", 0, 5, [])


# --- what is wrong ---------------------------------------------------------------------------------------------------

#: name, bytes, items before the fault, the error, its code.
FAULTS = [
    ("text that is not UTF-8", b"\x00a\xff\x00\x80\xff", ["a"], InvalidPayload, 1007),
    ("a character that the frame's end cuts", b"\x00\xe2\x82\xff", [], InvalidPayload, 1007),
    ("a surrogate", b"\x00\xed\xa0\x80\xff", [], InvalidPayload, 1007),
    ("an overlong zero", b"\x00\xc0\x80\xff", [], InvalidPayload, 1007),
    ("a bad byte in an unfinished text", b"\x00aaaa\xfe", [], InvalidPayload, 1007),
    ("a bad byte in front of too many", b"\x00abc\x80" + b"a" * 50, [], InvalidPayload, 1007),
    ("a text over the limit", b"\x00" + b"a" * 21 + b"\xff", [], MessageTooBig, 1009),
    ("an unfinished text over the limit", b"\x00" + b"a" * 21, [], MessageTooBig, 1009),
    ("a bad byte behind too many", b"\x00" + b"a" * 20 + b"\x80\xff", [], MessageTooBig, 1009),
    ("a character that the limit cuts", b"\x00" + b"a" * 19 + "é".encode() + b"\xff", [], MessageTooBig, 1009),
    ("a text over the limit behind another", b"\x00a\xff\x00" + b"a" * 21, ["a"], MessageTooBig, 1009),
    ("a dropped frame over the limit", b"\x80\x15", [], MessageTooBig, 1009),
    ("a dropped frame whose length grows (CVE-2026-54463)", b"\x80" + b"\xff" * 500, [], MessageTooBig, 1009),
    ("a length that stays at zero (CVE-2026-54463)", b"\x80" * 500, [], ProtocolError, 1002),
    ("a closing frame whose length stays at zero", b"\xff" + b"\x80" * 500, [], ProtocolError, 1002),
]


@pytest.mark.parametrize("how", CHUNKINGS)
@pytest.mark.parametrize(("data", "items", "kind", "code"), [pytest.param(*fault[1:], id=fault[0]) for fault in FAULTS])
def test_decoder_given_a_fault_in_chunks_raises_it(
    data: bytes, items: list[Any], kind: type[ProtocolError], code: int, how: str
) -> None:
    out, error, closed = decode(cut(data, how, str(data)), 20)
    assert out == items
    assert error is not None
    assert error[:2] == (kind, code)
    assert not closed
    assert decode([data], 20)[1] == error, "the same sentence, whatever the chunks"


def test_decoder_at_its_limits_accepts() -> None:
    assert decode([b"\x00" + b"a" * 18 + "é".encode() + b"\xff"], 20) == (["a" * 18 + "é"], None, False)
    assert decode([b"\x80\x14" + b"?" * 20 + b"\x00a\xff"], 20) == (["a"], None, False)
    assert decode([b"\x93" + b"\x80" * 9 + b"\x01?" + b"\x00a\xff"], 20) == (["a"], None, False)
    assert decode([b"\x93" + b"\x80" * 10 + b"\x01?" + b"\x00a\xff"], 20)[1] is not None


def test_decoder_stops_at_the_first_byte_of_a_length_that_is_over_the_limit() -> None:
    decoder = HixieDecoder(2**26 - 1, True)
    decoder.feed(b"\x80\xff\xff\xff", 0, 4, [])
    with pytest.raises(MessageTooBig):
        decoder.feed(b"\xff", 0, 1, [])


def test_decoder_without_a_limit_still_bounds_the_bytes_of_a_length() -> None:
    decoder = HixieDecoder(0, True)
    decoder.feed(b"\x80" + b"\xff" * 9, 0, 10, [])
    with pytest.raises(ProtocolError, match="more than 10 bytes"):
        decoder.feed(b"\xff", 0, 1, [])


@pytest.mark.parametrize("at_once", [True, False])
def test_decoder_refuses_each_byte_that_no_character_can_have(at_once: bool) -> None:
    """At that byte, in an unfinished frame, and not before."""
    for data, good in BEGINNINGS:
        if 0xFF in data[: good + 1]:
            continue  # it ends the frame
        decoder = HixieDecoder(0, True)
        decoder.feed(b"\x00", 0, 1, [])
        accepted = 0
        try:
            if at_once:
                decoder.feed(data, 0, len(data), [])
                accepted = len(data)
            else:
                for index in range(len(data)):
                    decoder.feed(data, index, index + 1, [])
                    accepted += 1
        except InvalidPayload:
            assert good < len(data), data.hex(" ")
        assert accepted == (good if not at_once or good == len(data) else 0), data.hex(" ")


# --- memory ----------------------------------------------------------------------------------------------------------


def growth(chunk: bytes, times: int, first: bytes) -> int:
    """Return how many bytes more a decoder takes at most while a chunk is fed to it again and again."""
    decoder = HixieDecoder(2**40, True)
    out: list[Any] = []
    decoder.feed(first, 0, len(first), out)
    tracemalloc.start()
    try:
        for _ in range(times):
            decoder.feed(chunk, 0, len(chunk), out)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("first", [b"\x80\x87\xff\xff\xff\x7f", b"\x01"], ids=["counted", "up to FF"])
def test_decoder_keeps_nothing_of_what_it_drops(first: bytes) -> None:
    assert growth(b"\x55" * 65536, 200, first) < 10_000


def test_decoder_keeps_a_text_in_one_buffer() -> None:
    """CVE-2026-123817: not an object for each read."""
    assert growth(b"a", 50_000, b"\x00") < 150_000


# --- any bytes at all ------------------------------------------------------------------------------------------------

frames = st.one_of(
    st.text(max_size=30).map(lambda text: b"\x00" + text.encode("utf-8", "surrogatepass") + b"\xff"),
    st.binary(max_size=30).map(lambda data: b"\x00" + data + b"\xff"),
    st.binary(max_size=30).map(lambda data: b"\x17" + data + b"\xff"),
    st.binary(max_size=30).map(lambda data: b"\x93" + bytes([len(data)]) + data),
    st.sampled_from([CLOSING_FRAME, b"\x80\x80", b"\x80\xff", b"\xff\x80\x00", b"\x00", b"\xff"]),
    st.binary(max_size=5),
)


@given(
    st.lists(frames, max_size=8).map(b"".join),
    st.lists(st.integers(0, 250), max_size=6),
    st.sampled_from([0, 10, 100]),
    st.booleans(),
)
def test_decoder_given_any_bytes_in_any_chunks_agrees_with_the_drafts(
    data: bytes, cuts: list[int], max_length: int, closing: bool
) -> None:
    whole = decode([data], max_length, closing)
    assert decode(pieces(data, sorted(cuts)), max_length, closing) == whole
    assert decode((data[i : i + 1] for i in range(len(data))), max_length, closing) == whole
    items, error, closed = whole
    assert (items, error and error[0], closed) == reference(data, max_length, closing)


# --- the other way ---------------------------------------------------------------------------------------------------


@given(st.lists(st.text(), max_size=5))
def test_texts_that_were_appended_are_decoded(texts: list[str]) -> None:
    out = bytearray()
    for text in texts:
        append_text(out, text)
    assert decode([out]) == (texts, None, False)


def test_append_text_frames_it() -> None:
    out = bytearray(b"before")
    append_text(out, "aé\x00")
    append_text(out, "")
    assert out == b"before\x00a\xc3\xa9\x00\xff\x00\xff"


def test_append_text_of_a_surrogate_appends_nothing() -> None:
    out = bytearray(b"before")
    with pytest.raises(UnicodeEncodeError):
        append_text(out, "a\ud800")
    assert out == b"before"


def chunks_of(data: bytes, size: int) -> Iterator[bytes]:
    yield from (data[i : i + size] for i in range(0, len(data), size))


def test_decoder_given_a_long_text_cut_anywhere_decodes_it() -> None:
    text = "a" * 37 + "é€😀" * 9 + "b" * 50 + "\ud7ff\ue000\U0010ffff"
    data = b"\x00" + text.encode() + b"\xff"
    for size in range(1, len(data) + 1):
        assert decode(chunks_of(data, size)) == ([text], None, False)
