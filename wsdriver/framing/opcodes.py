"""Opcodes (RFC 6455 §5.2 and §11.8) and where a version puts its mask."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = ["BINARY", "CLOSE", "CONTINUATION", "OPCODES", "PING", "PONG", "TEXT", "MaskPlace"]

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

#: Wire opcode (0 to 15) to the opcode that it means here, 255 where it means nothing.
OPCODES: Final = bytes([0, 1, 2, 255, 255, 255, 255, 255, 8, 9, 10, 255, 255, 255, 255, 255])


class MaskPlace(IntEnum):
    """What is masked in the frames that come in."""

    NOWHERE = 0
    PAYLOAD = 1
