"""What is wrong with a frame, in words: one place for the plain and the compiled decoder."""

from __future__ import annotations

from wsdriver.exceptions import InvalidPayload, MessageTooBig, ProtocolError
from wsdriver.framing.opcodes import CLOSE, CONTINUATION

__all__ = ["header_fault", "packed_limit", "too_big", "too_many_fragments", "utf8_fault"]


def header_fault(
    *, first: int, second: int, opcode: int, fin: bool, reserved: int, masked: bool, in_message: bool, length: int
) -> ProtocolError:
    """Return the error for a frame's header that the decoder refused (RFC 6455 §5.2, §5.4 and §5.5).

    Args:
        first: the header's first byte, as on the wire.
        second: its second byte.
        opcode: the opcode, 255 where the version has no such one.
        fin: whether this is a message's last frame.
        reserved: the reserved bits that an agreed extension owns, as a mask over ``first``.
        masked: whether frames must be masked.
        in_message: whether a fragmented message is unfinished.
        length: the payload's length as declared, -1 where the form of the declaration itself is wrong.
    """
    stray = first & 0x70 & ~reserved
    if stray:
        bits = "".join(f" RSV{number}" for number, bit in ((1, 0x40), (2, 0x20), (3, 0x10)) if stray & bit)
        return ProtocolError(f"a frame has{bits} set, which no extension owns")
    if opcode == 255:
        return ProtocolError(f"a frame has the reserved opcode 0x{first & 15:x}")
    if bool(second & 0x80) != masked:
        return ProtocolError("a frame from a client is not masked" if masked else "a frame is masked that must not be")
    if opcode >= CLOSE:
        if not fin:
            return ProtocolError("a control frame is fragmented")
        if first & 0x70:
            return ProtocolError("a control frame has a reserved bit set")
        if length > 125 or second & 0x7F > 125:
            return ProtocolError("a control frame has more than 125 bytes of payload")
    elif opcode == CONTINUATION:
        if not in_message:
            return ProtocolError("a continuation frame has no message to continue")
        if first & 0x70:
            return ProtocolError("a continuation frame has a reserved bit set")
    elif in_message:
        return ProtocolError("a new message begins before the fragmented one has ended")
    return ProtocolError("a frame's length is not in its shortest form, or has its top bit set")


def too_big(length: int, max_length: int) -> MessageTooBig:
    """Return the error for a message of ``length`` bytes (so far)."""
    return MessageTooBig(f"a message of {length} bytes is over the limit of {max_length} (max_length)")


def packed_limit(max_length: int) -> int:
    """Return how long a message of ``max_length`` bytes may be once an extension has packed it (zlib: 5 in 16 KiB)."""
    return max_length + (max_length >> 10) + 64


def too_many_fragments(max_fragments: int) -> MessageTooBig:
    """Return the error for a message in more than ``max_fragments`` fragments."""
    return MessageTooBig(f"a message has more than {max_fragments} fragments (max_fragments)")


def utf8_fault() -> InvalidPayload:
    """Return the error for text that is not UTF-8."""
    return InvalidPayload("a text message is not valid UTF-8")
