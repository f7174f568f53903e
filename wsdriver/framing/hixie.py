"""Bytes to messages and back in hixie-75 and hixie-76 (draft-hixie-thewebsocketprotocol-76 §5.3, of -75 §5.3).

::

      +-------------------+
      |  frame type byte  |<------------------------------------+
      +---+-----------+---+                                     |
          | 00 to 7F  | 80 to FF                                |
          |           |         +-----------------+   +-------+ |
          |           +-------->| length, base 128|-->| bytes |-+   dropped; FF 00 is the closing frame of hixie-76
          |                     +-----------------+   +-------+ |
          |    +------------------+   +----+                    |
          +--->| bytes without FF |-->| FF |--------------------+   of type 00: a text message; of others: dropped
               +------------------+   +----+
"""

from __future__ import annotations

from wsdriver.exceptions import MessageTooBig, ProtocolError
from wsdriver.framing.faults import utf8_fault
from wsdriver.framing.hybi import BytesLike, Item
from wsdriver.framing.opcodes import CLOSE
from wsdriver.framing.utf8 import check_utf8

__all__ = ["CLOSING_FRAME", "HixieDecoder", "append_text"]

#: The closing handshake of hixie-76, in both directions.
CLOSING_FRAME = b"\xff\x00"

#: Bytes that a length may have: 10 hold 64 bits and more. Without a cap, ``80 80 80 ...`` is zero for ever.
MAX_LENGTH_BYTES = 10

# What comes next.
_TYPE = 0
_TEXT = 1
_LENGTH = 2
_DROPPED = 3  # a counted number of bytes
_PASSED = 4  # bytes up to FF


def append_text(out: bytearray, text: str) -> None:
    """Append one text frame to ``out``, whole, or nothing at all.

    Raises:
        UnicodeEncodeError: the text has a lone surrogate.
    """
    data = text.encode()
    out += b"\x00"
    out += data
    out += b"\xff"


class HixieDecoder:
    """Turns the bytes of frames into messages; stands in for :class:`~wsdriver.framing.hybi.FrameDecoder`.

    Frames of types 01 to 7F are read and dropped, as the drafts have it. (websocket-driver takes them for text, and
    em-websocket fails the connection.)

    Args:
        max_length: bytes that a text may have, and a frame that is dropped may declare; 0 for no limit.
        closing: whether ``FF 00`` is a closing frame, as in hixie-76; in hixie-75 it is one more frame to drop.

    Attributes:
        closed: true after a closing frame: later bytes are dropped.
        reserved: means nothing here.
    """

    __slots__ = (
        "_closing",
        "_count",
        "_length",
        "_may_close",
        "_state",
        "_tail",
        "_text",
        "closed",
        "max_length",
        "reserved",
    )

    def __init__(self, max_length: int, closing: bool) -> None:
        self.max_length = max_length
        self.reserved = 0
        self.closed = False
        self._closing = closing
        self._state = _TYPE
        self._text = bytearray()  # of the unfinished message
        self._tail = b""  # ... the bytes of the character that it breaks off in
        self._length = 0  # of the frame that is dropped: as far as it is known, then what is left
        self._count = 0  # ... bytes of that length so far
        self._may_close = False  # ... whether it is of the type that the closing frame has

    def feed(self, data: BytesLike, start: int, end: int, out: list[Item]) -> None:
        """Read ``data[start:end]`` and append what is complete to ``out``: texts, and ``(CLOSE, b"", 0)``.

        Raises:
            ProtocolError: the peer broke the protocol; what came before is in ``out``. Feed no more then.
        """
        view = data if isinstance(data, (bytes, bytearray)) else bytes(memoryview(data).cast("B")[start:end])
        if view is not data:
            start, end = 0, len(view)
        while start < end and not self.closed:
            state = self._state
            if state == _TYPE:
                start = self._begin(view[start], start)
            elif state == _TEXT:
                start = self._read_text(view, start, end, out)
            elif state == _LENGTH:
                self._read_length(view[start], out)
                start += 1
            elif state == _DROPPED:
                dropped = min(self._length, end - start)
                self._length -= dropped
                start += dropped
                if not self._length:
                    self._state = _TYPE
            else:
                start = view.find(b"\xff", start, end) + 1
                if not start:
                    return
                self._state = _TYPE

    def _begin(self, kind: int, start: int) -> int:
        """Read a frame type byte; return where to read on."""
        if kind >= 0x80:
            self._state = _LENGTH
            self._length = 0
            self._count = 0
            self._may_close = self._closing and kind == 0xFF
        else:
            self._state = _PASSED if kind else _TEXT
        return start + 1

    def _read_length(self, byte: int, out: list[Item]) -> None:
        self._length = self._length << 7 | (byte & 0x7F)
        self._count += 1
        if self.max_length and self._length > self.max_length:
            raise MessageTooBig(f"a frame has a length over the limit of {self.max_length} (max_length)")
        if byte >= 0x80:
            if self._count == MAX_LENGTH_BYTES:
                raise ProtocolError(f"a frame's length has more than {MAX_LENGTH_BYTES} bytes")
        elif self._length:
            self._state = _DROPPED
        else:
            self._state = _TYPE
            if self._may_close:
                self.closed = True
                out.append((CLOSE, b"", 0))

    def _read_text(self, view: bytes | bytearray, start: int, end: int, out: list[Item]) -> int:
        """Read on in a text; return where to read on."""
        stop = view.find(b"\xff", start, end)
        complete = stop >= 0
        if not complete:
            stop = end
        size = stop - start
        too_big = False
        if self.max_length and len(self._text) + size > self.max_length:
            # A bad byte within the limit is found first, however the bytes are cut.
            too_big = True
            size = max(0, self.max_length - len(self._text))  # (the limit may have been lowered meanwhile)
        chunk = view[start : start + size]
        if complete and not too_big and not self._text:
            # A whole message that is all here: the usual case.
            try:
                out.append(str(chunk, "utf-8"))
            except UnicodeDecodeError:
                raise utf8_fault() from None
        else:
            self._tail = check_utf8(self._tail, bytes(chunk))
            if too_big:
                raise MessageTooBig(f"a message is longer than the limit of {self.max_length} bytes (max_length)")
            self._text += chunk
            if not complete:
                return stop
            if self._tail:
                raise utf8_fault()
            out.append(str(self._text, "utf-8"))
            self._text = bytearray()
        self._state = _TYPE
        return stop + 1
