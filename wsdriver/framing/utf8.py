"""Text as it arrives, for the plain decoders: a bad byte is found at once, not at the end (RFC 6455 §8.1)."""

from __future__ import annotations

from codecs import utf_8_decode

from wsdriver.framing.faults import utf8_fault

__all__ = ["check_utf8"]


def check_utf8(tail: bytes, chunk: bytes) -> bytes:
    """Check one more chunk of a text.

    Args:
        tail: what the call before returned; empty at first.
        chunk: the bytes that came.

    Returns:
        the bytes of the character that the chunk breaks off in.

    Raises:
        InvalidPayload: it cannot be UTF-8.
    """
    data = tail + chunk
    try:
        tail = data[utf_8_decode(data, "strict", False)[1] :]
    except UnicodeDecodeError:
        raise utf8_fault() from None
    # Python waits for the third byte of a surrogate before it refuses the second.
    if len(tail) == 2 and tail[0] == 0xED and tail[1] > 0x9F:
        raise utf8_fault()
    return tail
