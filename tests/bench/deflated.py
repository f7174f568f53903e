"""Compressed messages, made in advance: what the load generator sends, and what a client fills both contexts with."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path

from tests.bench.client import MASK, TEXT, Client
from tests.bench.deflate_payload import document, message

#: As Chrome offers it: the server may choose a smaller window for what we send.
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
#: Messages of 1 KiB on each connection, each a different one: more than the largest window holds, in both directions.
MESSAGES = 40


def payload_file(folder: Path) -> Path:
    """Return the file that `wsload ... deflate FILE` takes; it is written at the first call."""
    path = folder / "payload.deflate"
    if not path.exists():
        path.write_bytes(message(document()))
    return path


@cache
def conversation() -> bytes:
    """Return the frames that a connection sends, compressed in one context with the smallest window."""
    deflater = zlib.compressobj(wbits=-9)
    frames = []
    for seed in range(MESSAGES):
        payload = (deflater.compress(document(seed)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        body = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
        frames.append(bytes((0xC0 | TEXT, 0x80 | 126)) + len(body).to_bytes(2, "big") + MASK + body)
    return b"".join(frames)


class DeflatingClient(Client):
    """A client whose messages are compressed, and which insists that the echoes are."""

    __slots__ = ()
    headers = OFFER

    def echo(self) -> None:
        """Send all messages at once, and take their echoes."""
        self.sock.sendall(conversation())
        received = bytearray()
        for _ in range(MESSAGES):
            self._fill(received, 4)
            if received[0] != 0xC0 | TEXT:
                raise ConnectionError(f"not a compressed text: {bytes(received[:4])!r}")
            size = received[1] & 127
            head = 2
            if size == 126:
                size, head = int.from_bytes(received[2:4], "big"), 4
            self._fill(received, head + size)
            del received[: head + size]

    def _fill(self, received: bytearray, size: int) -> None:
        while len(received) < size:
            received += self._receive(65536)
