"""What permessage-deflate does with bytes: whole messages in, whole messages out (RFC 7692 §7.2).

The plain twin of ``deflating.pyx``, over Python's own ``zlib``. Neither keeps an inflater between messages: what a
message may refer to is the end of what came before, and that is kept instead, as the dictionary of the next inflater.
So an idle connection holds bytes that were said, and no tables of codes.
"""

from __future__ import annotations

import zlib

from wsdriver.exceptions import InvalidPayload, MessageTooBig
from wsdriver.framing.faults import too_big

__all__ = ["MAX_STREAMS", "Deflater", "Inflater"]

COMPILED = False

#: Final blocks in one message, each of which costs a new inflater: far more than any real peer sends (one).
MAX_STREAMS = 1024

#: Bytes to inflate, and bytes inflated, in one step: what a message takes beside itself while it unfolds.
CHUNK = 64 * 1024
PIECE = 256 * 1024

#: What a sync flush ends with, and a message lacks (§7.2.1); and an empty final block, after which an inflater knows
#: that the data was complete.
TAIL = b"\x00\x00\xff\xff\x01\x00\x00\xff\xff"


class Deflater:
    """Compresses messages; with ``takeover`` each knows those before it.

    Raises:
        ValueError: zlib cannot do that.
    """

    __slots__ = ("_deflater", "_settings", "_takeover")

    def __init__(self, level: int, bits: int, mem_level: int, strategy: int, takeover: bool) -> None:
        self._settings = (level, zlib.DEFLATED, -bits, mem_level, strategy)
        self._takeover = takeover
        self._deflater: zlib._Compress | None = None

    def pack(self, data: bytes) -> bytes:
        """Return the payload of the message that carries the data, which is not empty."""
        deflater = self._deflater
        if deflater is None:
            deflater = zlib.compressobj(*self._settings)
        result = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
        if self._takeover:
            self._deflater = deflater
        return result


class Inflater:
    """Inflates messages; with ``takeover`` each may refer to the last 2^bits bytes before it."""

    __slots__ = ("_history", "_takeover", "_window")

    def __init__(self, bits: int, takeover: bool) -> None:
        self._window = 1 << bits
        self._takeover = takeover
        self._history = b""

    def unpack(self, data: bytes, budget: int) -> bytes:
        """Return what the payload of a message, which is not empty, carries.

        No more memory is used than twice the budget, or twice the result, and a PIECE. Both sides of an inflater are
        fed and emptied in steps: it copies what it has not used at each call.

        Raises:
            MessageTooBig: that would be more than ``budget`` bytes, where it is not 0, or the payload is of more than
                MAX_STREAMS streams.
            InvalidPayload: the payload is not DEFLATE data, or breaks off.
        """
        try:
            return self._unpack(data, budget)
        except zlib.error as error:
            raise InvalidPayload(f"a message is not DEFLATE data: {error}") from None

    def _unpack(self, data: bytes, budget: int) -> bytes:
        inflater = zlib.decompressobj(-15, zdict=self._history) if self._history else zlib.decompressobj(-15)
        history = self._history
        at = CHUNK
        chunk = data + TAIL if len(data) <= at else data[:at]
        pieces = []
        size = streams = begin = 0
        while True:
            limit = min(PIECE, budget + 1 - size) if budget else PIECE
            piece = inflater.decompress(chunk, limit)
            size += len(piece)
            if 0 < budget < size:
                raise too_big(size, budget)
            pieces.append(piece)
            if inflater.eof:
                chunk = inflater.unused_data
                if at >= len(data) and not chunk:
                    break
                # A final block of the peer's (§7.2.3.4). The tail alone behind it is the message's end; the rest, if
                # only the byte that the tail completes, is a new stream, which knows nothing of what was before.
                history, begin = b"", size
                if at >= len(data) and chunk == TAIL:
                    break
                streams += 1
                if streams > MAX_STREAMS:
                    raise MessageTooBig(f"a message has more than {MAX_STREAMS} final DEFLATE blocks")
                inflater = zlib.decompressobj(-15)
            else:
                chunk = inflater.unconsumed_tail
            if chunk or len(piece) == limit:
                continue
            if at >= len(data):
                raise InvalidPayload("a message is not DEFLATE data: it breaks off within a block")
            chunk = data[at : at + CHUNK]
            at += CHUNK
            if at >= len(data):
                chunk += TAIL
        result = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._takeover:
            new = result[max(begin, size - self._window) :]
            self._history = (history + new)[-self._window :]
        return result
