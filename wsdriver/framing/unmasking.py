"""The masks of hybi-04 to -06, which cover a frame's header too: taken off before frames are read.

::

    +---------------------+----------------------------------------------+
    | 4 bytes, in clear   | the whole frame: header and payload, XORed   |
    +---------------------+----------------------------------------------+

In -05 and -06 the four bytes are the mask (draft-ietf-hybi-thewebsocketprotocol-05 §4.3). In -04 they are a nonce,
and the mask is the SHA-1 of the nonce and the connection's masking key (-04 §4.3). In all of them the mask begins anew
with each frame. Only clients mask.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from wsdriver.framing.hybi import BytesLike

__all__ = ["FrameUnmasker", "frame_mask_04", "masking_key_04"]

GUID_04 = b"61AC5F19-FBBA-4540-B96F-6561F1AB40A8"

#: Bytes in front of a frame; and of its header, with the longest form of the length.
_PREFIX = 4
_MAX_HEADER = 10


def masking_key_04(key: str, nonce: str) -> bytes:
    """Return a connection's masking key in hybi-04, of 20 bytes.

    Args:
        key: the client's Sec-WebSocket-Key, as sent.
        nonce: the server's Sec-WebSocket-Nonce, as sent.
    """
    return hashlib.sha1((key + nonce).encode("latin-1") + GUID_04, usedforsecurity=False).digest()


def frame_mask_04(nonce: bytes, masking_key: bytes) -> bytes:
    """Return the mask of one frame in hybi-04, of 20 bytes.

    Args:
        nonce: the 4 bytes in front of the frame.
        masking_key: the connection's.
    """
    return hashlib.sha1(nonce + masking_key, usedforsecurity=False).digest()


class FrameUnmasker:
    """Takes the masks off a stream of frames, as it comes; what comes out are frames without masks.

    What is wrong with a frame is for the decoder behind this to say.

    Args:
        derive: makes a frame's mask of the 4 bytes in front of it; None where they are the mask.
    """

    __slots__ = ("_derive", "_held", "_left", "_mask", "_offset")

    def __init__(self, derive: Callable[[bytes], bytes] | None) -> None:
        self._derive = derive
        self._held = b""  # the beginning of a frame, masked, until its header is complete
        self._mask = b""  # of the frame whose payload is being read
        self._offset = 0  # ... where in the mask it goes on
        self._left = 0  # ... bytes of it that have to come

    def feed(self, data: BytesLike) -> bytes:
        """Take bytes from the client; return those of the frames that can be read now."""
        held, self._held = self._held, b""
        if held:
            data = held + data
        out = bytearray()
        at, end = 0, len(data)
        while at < end:
            if self._left:
                stop = min(end, at + self._left)
                out += self._unmask(data[at:stop])
                self._left -= stop - at
                at = stop
                continue
            header = self._header(bytes(data[at : at + _PREFIX + _MAX_HEADER]))
            if not header:
                self._held = bytes(data[at:])
                break
            out += header
            at += _PREFIX + len(header)
        return bytes(out)

    def _header(self, data: bytes) -> bytes:
        """Return a frame's header, unmasked, or nothing where more of it has to come."""
        if len(data) < _PREFIX + 2:
            return b""
        prefix = data[:_PREFIX]
        self._mask = prefix if self._derive is None else self._derive(prefix)
        self._offset = 0
        header = self._unmask(data[_PREFIX:])
        length = header[1] & 0x7F
        size = 2
        if length > 125:
            size = 4 if length == 126 else 10
            if len(header) < size:
                return b""
            length = int.from_bytes(header[2:size], "big")
        self._left = length
        self._offset = size
        return header[:size]

    def _unmask(self, data: BytesLike) -> bytes:
        mask = self._mask
        size = len(mask)
        offset = self._offset % size
        count = len(data)
        repeated = (mask * ((offset + count) // size + 1))[offset : offset + count]
        self._offset = offset + count
        return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(count, "big")
