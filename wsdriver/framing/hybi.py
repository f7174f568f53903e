"""Bytes to messages and back (RFC 6455 §5): no connection state beyond the message that is being read.

This is the plain twin of ``hybi.pyx``, which is built where there is a compiler and then loaded instead: the same
names, results and errors; a differential test feeds both.

::

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-------+-+-------------+-------------------------------+
    |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
    |I|S|S|S|  (4)  |A|     (7)     |            (16/64)            |
    |N|V|V|V|       |S|             |   (if payload len==126/127)   |
    | |1|2|3|       |K|             |                               |
    +-+-+-+-+-------+-+-------------+ - - - - - - - - - - - - - - - +
    |    Extended payload length continued, if payload len == 127   |
    + - - - - - - - - - - - - - - - +-------------------------------+
    |                               | Masking-key, if MASK set      |
    +-------------------------------+-------------------------------+
    | Masking-key (continued)       |          Payload data         |
    +-------------------------------- - - - - - - - - - - - - - - - +
"""

from __future__ import annotations

from typing import TypeAlias

from wsdriver.framing.faults import header_fault, packed_limit, too_big, too_many_fragments, utf8_fault
from wsdriver.framing.opcodes import BINARY, CLOSE, CONTINUATION, OPCODES, TEXT, MaskPlace
from wsdriver.framing.utf8 import check_utf8

__all__ = ["BytesLike", "FrameDecoder", "Item", "append_frame", "append_head", "apply_mask"]

BytesLike: TypeAlias = "bytes | bytearray | memoryview"

#: What a decoder yields: text, binary, or ``(opcode, payload, reserved bits)`` for control frames and for messages
#: that an extension has to look at.
Item: TypeAlias = "str | bytes | tuple[int, bytes, int]"

COMPILED = False

#: Bytes of a frame that count as much as a frame by itself.
WEIGHT = 2048

#: By the length of a short payload, as numbers: what repeats a masking key often enough, and what cuts the rest off.
_REPEAT = tuple(sum(1 << 32 * i for i in range((length + 3) // 4)) for length in range(126))
_CUT = tuple((1 << 8 * length) - 1 for length in range(126))

#: By the second byte of a frame, its size where it is short and masked; more than there ever is where it is not.
_SIZES = tuple(6 + second - 128 if 128 <= second < 254 else 1 << 62 for second in range(256))

_from_bytes = int.from_bytes

#: For each key byte, the table that bytes.translate needs to XOR with it; 64 KiB, made at the first long payload.
_tables: list[bytes] = []


def apply_mask(data: bytes | bytearray | memoryview, key: bytes, offset: int = 0) -> bytes:
    """XOR ``data`` with the 4 bytes of ``key``, the first of them with ``key[offset % 4]`` (RFC 6455 §5.3)."""
    if len(key) != 4:
        raise ValueError("a masking key has 4 bytes")
    if isinstance(data, memoryview):
        data = data.cast("B")
    offset &= 3
    if offset:
        key = key[offset:] + key[:offset]
    length = len(data)
    if length < 1024:
        number = int.from_bytes(data, "little") ^ int.from_bytes((key * (length // 4 + 1))[:length], "little")
        return number.to_bytes(length, "little")
    if not _tables:
        _tables.extend(bytes(byte ^ k for byte in range(256)) for k in range(256))
    result = bytearray(data)
    for i in range(4):
        result[i::4] = result[i::4].translate(_tables[key[i]])
    return bytes(result)


def _head(first: int, mask_bit: int, size: int) -> bytes:
    if size < 126:
        return bytes((first, mask_bit | size))
    if size < 65536:
        return bytes((first, mask_bit | 126)) + size.to_bytes(2, "big")
    return bytes((first, mask_bit | 127)) + size.to_bytes(8, "big")


def append_head(out: bytearray, first: int, size: int) -> None:
    """Append the head of an unmasked frame whose payload the caller writes itself."""
    out += _head(first, 0, size)


def append_frame(out: bytearray, first: int, payload: str | BytesLike, key: bytes | None) -> int:
    """Append one frame to ``out``, whole, or nothing at all.

    Args:
        out: the bytes that wait to be written.
        first: the frame's first byte: FIN, reserved bits, opcode.
        payload: a str goes out as UTF-8.
        key: 4 bytes to mask with, or None.

    Returns:
        the payload's size in bytes.

    Raises:
        UnicodeEncodeError: a str with a lone surrogate.
        TypeError: neither str nor bytes-like.
    """
    if isinstance(payload, str):
        data = payload.encode()
    else:
        data = payload if type(payload) is bytes else bytes(memoryview(payload))
    size = len(data)
    if key is None:
        if size < 126:  # as nearly all are: not worth a call
            out.append(first)
            out.append(size)
        else:
            append_head(out, first, size)
        out += data
    else:
        masked = apply_mask(data, key)
        out += _head(first, 0x80, size) + key
        out += masked
    return size


class FrameDecoder:
    """Turns the bytes of frames into messages.

    Args:
        mask: whether frames come masked.
        max_length: bytes that a message may have, on the wire, over all its fragments; 0 for no limit.
        max_fragments: frames that a message may have.
        reserved: the reserved bits of the first byte (0x40, 0x20, 0x10) that an extension owns.
        opcodes: what each of the 16 opcodes on the wire means, 255 for nothing.
        more: whether the first bit says that more fragments follow, as in hybi-01 to -03, instead of FIN.

    Attributes:
        raw: whether all messages are for an extension, and come out as ``(opcode, bytes, reserved bits)``; otherwise
            only those do that have a reserved bit set.
        closed: true after a close frame: later bytes are dropped (RFC 6455 §5.5.1).
    """

    __slots__ = (
        "_binary",
        "_buffer",
        "_fin",
        "_flip",
        "_fragments",
        "_key",
        "_left",
        "_mask",
        "_message",
        "_offset",
        "_opcode",
        "_opcodes",
        "_rsv",
        "_tail",
        "_text",
        "closed",
        "max_fragments",
        "max_length",
        "raw",
        "reserved",
    )

    def __init__(
        self,
        mask: int,
        max_length: int,
        max_fragments: int,
        reserved: int = 0,
        opcodes: bytes = OPCODES,
        more: bool = False,
    ) -> None:
        if len(opcodes) != 16:
            raise ValueError("the table of opcodes has 16 entries")
        self.raw = False
        self._opcodes = opcodes
        self._flip = 0x80 if more else 0
        self._mask = mask == MaskPlace.PAYLOAD
        # The first byte of a text and of a binary message in one frame, masked; none where they are not.
        self._text = (opcodes.find(TEXT) | 0x80) ^ self._flip if self._mask else -1
        self._binary = (opcodes.find(BINARY) | 0x80) ^ self._flip if self._mask else -1
        self.max_length = max_length
        self.max_fragments = max_fragments
        self.reserved = reserved
        self.closed = False
        self._buffer = bytearray()  # a header, or a control frame, of which more has to come
        self._message: bytearray | None = None  # of the unfinished data message
        self._opcode = 0  # ... what it is
        self._rsv = 0
        self._fragments = 0
        self._tail = b""  # ... the bytes of the character that it breaks off in
        self._left = 0  # bytes still missing of the data frame that is being read
        self._fin = False  # ... and whether it is the last
        self._key = b""
        self._offset = 0

    def feed(self, data: BytesLike, start: int, end: int, out: list[Item], frames: int = 0) -> int:
        """Read ``data[start:end]`` and append what is complete to ``out``.

        Args:
            frames: that are read at most, 0 for no limit; a long one counts for several.

        Returns:
            where to read on: ``end``, unless there were more frames.

        Raises:
            ProtocolError: the peer broke the protocol; what came before is in ``out``. Feed no more then.
        """
        if self.closed:
            return end
        stop = end
        view = data
        if type(data) is not bytearray and type(data) is not bytes:
            view = memoryview(data).cast("B")
        if self._buffer:
            view = self._buffer + view[start:end]
            start, end = 0, len(view)
            self._buffer = bytearray()
        left = frames
        while start < end:
            if self._left:
                start = self._payload(view, start, end, out)
                continue
            if frames and left <= 0:
                return stop - (end - start)
            if end - start < 2:
                break
            first, second = view[start], view[start + 1]
            length = second & 0x7F
            if first == self._text or first == self._binary:
                # A short message in one frame: what nearly all are. Where it is wrong, what is below says so.
                over = start + _SIZES[second]
                if over <= end and self._message is None and not self.raw and length <= (self.max_length or length):
                    # The masking key, in the lowest 4 bytes, and the payload, as one number.
                    number = _from_bytes(view[start + 2 : over], "little")
                    number = number >> 32 ^ (number & 0xFFFFFFFF) * _REPEAT[length] & _CUT[length]
                    payload = number.to_bytes(length, "little")
                    try:
                        out.append(payload.decode() if first == self._text else payload)
                    except UnicodeDecodeError:
                        raise utf8_fault() from None
                    start = over
                    left -= 1
                    continue
            first ^= self._flip
            at = start + 2
            opcode = self._opcodes[first & 15]
            if length == 126:
                at += 2
                if at > end:
                    break
                length = view[start + 2] << 8 | view[start + 3]
                if length < 126:
                    length = -1
            elif length == 127:
                at += 8
                if at > end:
                    break
                length = int.from_bytes(view[start + 2 : at], "big")
                if length < 65536 or length >> 63:
                    length = -1
            self._check(first, second, opcode, length)
            if opcode < CLOSE:
                size = length + (len(self._message) if self._message is not None else 0)
                if self.max_length and size > self.max_length:
                    # What an extension has packed may be a little longer than what it unpacks to; that is judged later.
                    packed = first & 0x70 or (self._message is not None and self._rsv)
                    if not packed or size > packed_limit(self.max_length):
                        raise too_big(size, self.max_length)
            key = b""
            if self._mask:
                if at + 4 > end:
                    break
                key = bytes(view[at : at + 4])
                at += 4
            left -= 1 + (at - start + length) // WEIGHT
            if opcode >= CLOSE:
                if at + length > end:
                    break
                payload = bytes(view[at : at + length])
                start = at + length
                out.append((opcode, apply_mask(payload, key) if key else payload, 0))
                if opcode == CLOSE:
                    self.closed = True
                    return stop
                continue
            if first >= 0x80 and opcode != CONTINUATION and at + length <= end:
                # A whole message in one frame that is all here: the usual case.
                payload = bytes(view[at : at + length])
                if key:
                    payload = apply_mask(payload, key)
                if self.raw or first & 0x70:
                    out.append((opcode, payload, first & 0x70))
                elif opcode == BINARY:
                    out.append(payload)
                else:
                    try:
                        out.append(str(payload, "utf-8"))
                    except UnicodeDecodeError:
                        raise utf8_fault() from None
                start = at + length
                continue
            if opcode != CONTINUATION:
                self._message = bytearray()
                self._opcode = opcode
                self._rsv = first & 0x70
                self._fragments = 0
                self._tail = b""
            self._fragments += 1
            if self._fragments > self.max_fragments:
                raise too_many_fragments(self.max_fragments)
            self._fin = first >= 0x80
            self._key = key
            self._offset = 0
            self._left = length
            start = at
            if not length:
                self._end_frame(out)
        if start < end:
            self._buffer = bytearray(view[start:end])
        return stop

    def room(self, most: int) -> memoryview | None:
        """Return memory for the next bytes of an unfinished large frame, so that the caller need not copy them.

        This twin has none to offer, ever: :meth:`feed`.

        Args:
            most: bytes that the caller can use.

        Returns:
            memory that is good until the next call of a method of this; None where there is none.
        """
        return None

    def filled(self, count: int, out: list[Item]) -> None:
        """Take the first ``count`` bytes of what :meth:`room` returned for read: as :meth:`feed`.

        Raises:
            ProtocolError: the peer broke the protocol.
        """
        raise IndexError("filled() was given more than there was room")

    def _check(self, first: int, second: int, opcode: int, length: int) -> None:
        in_message = self._message is not None
        fin = first >= 0x80
        if (
            length < 0
            or first & 0x70 & ~self.reserved
            or (second >= 0x80) is not self._mask
            or (
                (not fin or first & 0x70 or length > 125)
                if opcode >= CLOSE
                else (not in_message or first & 0x70)
                if opcode == CONTINUATION
                else in_message
            )
            or opcode == 255
        ):
            raise header_fault(
                first=first,
                second=second,
                opcode=opcode,
                fin=fin,
                reserved=self.reserved,
                masked=self._mask,
                in_message=in_message,
                length=length,
            )

    def _payload(self, view: bytes | bytearray | memoryview, start: int, end: int, out: list[Item]) -> int:
        """Read on in the unfinished data frame; return where it, or the data, ends."""
        assert self._message is not None
        end = min(end, start + self._left)
        chunk = view[start:end]
        if self._mask:
            chunk = apply_mask(chunk, self._key, self._offset)
            self._offset = (self._offset + len(chunk)) & 3
        self._left -= end - start
        self._message += chunk
        if self._opcode == TEXT and not self._rsv and not self.raw:
            self._tail = check_utf8(self._tail, bytes(chunk))
        if not self._left:
            self._end_frame(out)
        return end

    def _end_frame(self, out: list[Item]) -> None:
        if not self._fin:
            return
        message = self._message
        assert message is not None
        self._message = None
        if self._rsv or self.raw:
            out.append((self._opcode, bytes(message), self._rsv))
        elif self._opcode == TEXT:
            if self._tail:
                raise utf8_fault()
            out.append(str(message, "utf-8"))
        else:
            out.append(bytes(message))
