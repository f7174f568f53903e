"""A server's answer to the opening handshake, read before anybody knows whether it is one."""

from __future__ import annotations

from typing import Any

import gevent

from wsdriver.exceptions import HandshakeError
from wsdriver.green.client.stages import Deadline
from wsdriver.green.waiting import read_some
from wsdriver.http import MAX_INTERIM, BodyReader, HeadReader

__all__ = ["read_answer", "read_body"]

#: Seconds that the body of a refusal may take: it only helps the reader of an error.
BODY_PATIENCE = 1.0


def read_answer(sock: Any, data: bytes, max_head_size: int) -> tuple[bytes, bytes, bytes]:
    """Read up to the head of the final answer, as far as the driver will want to follow.

    Args:
        sock: to read from.
        data: what has come from there already.
        max_head_size: bytes that each head may have.

    Returns:
        the informational answers before it, its head, and what came behind; no head where there is none.

    Raises:
        OSError: the connection is lost.
    """
    interim = b""
    head, rest = _read_head(sock, data, max_head_size)
    for _ in range(MAX_INTERIM):
        if head[8:10] != b" 1" or head[8:12] == b" 101":  # behind HTTP/1.1
            break
        interim += head
        head, rest = _read_head(sock, rest, max_head_size)
    return interim, head, rest


def _read_head(sock: Any, data: bytes, max_size: int) -> tuple[bytes, bytes]:
    """Read until an HTTP head is complete, has become impossible, or ends.

    Args:
        sock: to read from.
        data: what has come from there already.
        max_size: bytes that the head may have.

    Returns:
        the head, and what came behind it; where there is no whole head, no head, and all that came.

    Raises:
        OSError: the connection is lost.
    """
    reader = HeadReader(max_size)
    seen = bytearray()
    while True:
        seen += data
        try:
            done = reader.feed(data)
        except HandshakeError:
            return b"", bytes(seen)  # the driver will find the same fault
        if done is not None:
            return done
        data = read_some(sock)
        if not data:
            return b"", bytes(seen)


def read_body(sock: Any, body: BodyReader, deadline: Deadline) -> bytes:
    """Return the first bytes of a refusal's body; those that come within a second, or by the deadline."""
    remaining = deadline.remaining()
    patience = BODY_PATIENCE if remaining is None else min(BODY_PATIENCE, remaining)
    with gevent.Timeout(patience, False):
        try:
            while not body.complete:
                data = read_some(sock)
                if data:
                    body.feed(data)
                else:
                    body.eof()
        except OSError:
            pass  # what has come will do
    return body.data
