"""The table of opcodes (RFC 6455 §11.8)."""

from __future__ import annotations

import pytest

from wsdriver.framing import opcodes
from wsdriver.framing.opcodes import OPCODES, MaskPlace


@pytest.mark.parametrize(
    ("name", "number"),
    [("CONTINUATION", 0x0), ("TEXT", 0x1), ("BINARY", 0x2), ("CLOSE", 0x8), ("PING", 0x9), ("PONG", 0xA)],
)
def test_opcode_by_name_has_its_number(name: str, number: int) -> None:
    assert getattr(opcodes, name) == number
    assert OPCODES[number] == number


def test_opcodes_that_are_reserved_mean_nothing() -> None:
    assert len(OPCODES) == 16
    assert [i for i in range(16) if OPCODES[i] == 255] == [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]


def test_mask_place_is_a_number_for_the_compiled_decoder() -> None:
    assert (int(MaskPlace.NOWHERE), int(MaskPlace.PAYLOAD)) == (0, 1)
