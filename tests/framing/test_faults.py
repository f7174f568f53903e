"""The words for what is wrong with a frame; which frame is wrong is shown by the vectors."""

from __future__ import annotations

from typing import Any

import pytest

from wsdriver import InvalidPayload, MessageTooBig, ProtocolError
from wsdriver.framing.faults import header_fault, packed_limit, too_big, too_many_fragments, utf8_fault

RIGHT: dict[str, Any] = {
    "first": 0x81,
    "second": 0x85,
    "opcode": 1,
    "fin": True,
    "reserved": 0,
    "masked": True,
    "in_message": False,
    "length": 5,
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first": 0xC1}, "RSV1 set"),
        ({"first": 0xF1, "reserved": 0x40}, "RSV2 RSV3 set"),
        ({"first": 0x83, "opcode": 255}, "opcode 0x3"),
        ({"second": 0x05}, "from a client is not masked"),
        ({"masked": False}, "masked that must not be"),
        ({"first": 0x09, "opcode": 9, "fin": False}, "control frame is fragmented"),
        ({"first": 0xC9, "opcode": 9, "reserved": 0x40}, "control frame has a reserved bit"),
        ({"first": 0x89, "opcode": 9, "length": 126}, "more than 125 bytes"),
        ({"first": 0x89, "opcode": 9, "second": 0xFE, "length": -1}, "more than 125 bytes"),
        ({"first": 0x80, "opcode": 0}, "no message to continue"),
        ({"first": 0xC0, "opcode": 0, "reserved": 0x40, "in_message": True}, "continuation frame has a reserved bit"),
        ({"in_message": True}, "before the fragmented one has ended"),
        ({"length": -1}, "shortest form"),
        ({"first": 0x89, "opcode": 9, "length": -1}, "shortest form"),
        ({"first": 0x80, "opcode": 0, "in_message": True, "length": -1}, "shortest form"),
    ],
)
def test_header_fault_names_what_is_wrong(changes: dict[str, Any], words: str) -> None:
    fault = header_fault(**{**RIGHT, **changes})
    assert type(fault) is ProtocolError
    assert fault.code == 1002
    assert words in str(fault)
    assert len(str(fault).encode()) <= 123, "it is the reason of a close frame"


def test_other_faults_have_their_codes_and_numbers() -> None:
    assert isinstance(too_big(7, 5), MessageTooBig)
    assert too_big(7, 5).code == 1009
    assert "7 bytes" in str(too_big(7, 5))
    assert "limit of 5" in str(too_big(7, 5))
    assert isinstance(too_many_fragments(3), MessageTooBig)
    assert "more than 3 fragments" in str(too_many_fragments(3))
    assert isinstance(utf8_fault(), InvalidPayload)
    assert utf8_fault().code == 1007


def test_faults_of_the_longest_numbers_fit_a_close_frame() -> None:
    assert len(str(too_big(2**63, 2**63)).encode()) <= 123
    assert len(str(too_many_fragments(2**31)).encode()) <= 123


@pytest.mark.parametrize("size", [0, 1, 1000, 16384, 2**20, 2**26 - 1])
def test_packed_limit_has_room_for_what_zlib_adds(size: int) -> None:
    """A deflate stream grows by 5 bytes per stored block of 16 KiB, and by a few at its end (RFC 1951 §3.2.4)."""
    assert size + 5 * (size // 16383 + 1) + 6 <= packed_limit(size)
    assert packed_limit(size) <= size * 1.01 + 100
