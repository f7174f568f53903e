"""Compressed messages, made in advance: what the load generator sends, and what a client fills both contexts with."""

from __future__ import annotations

import zlib
from functools import cache
from pathlib import Path

from tests.bench.client import MASK, PING, PONG, TEXT, Client, masked
from tests.bench.deflate_payload import document, message

#: As Chrome offers it: the server may choose a smaller window for what we send.
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
#: On each connection, so many messages of so many KiB, none like another: more than any window holds.
MESSAGES, SIZE = 20, 2


def payload_file(folder: Path) -> Path:
    """Return the file that `wsload ... deflate FILE` takes; it is written at the first call."""
    path = folder / "payload.deflate"
    if not path.exists():
        path.write_bytes(message(document()))
    return path


@cache
def conversation() -> tuple[bytes, ...]:
    """Return the frames that a connection sends, compressed in one context with the smallest window."""
    deflater = zlib.compressobj(wbits=-9)
    frames = []
    for number in range(MESSAGES):
        text = b"".join(document(seed) for seed in range(number * SIZE, (number + 1) * SIZE))
        payload = (deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        body = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
        frames.append(bytes((0xC0 | TEXT, 0x80 | 126)) + len(body).to_bytes(2, "big") + MASK + body)
    return tuple(frames)


class DeflatingClient(Client):
    """A client whose messages are compressed, and which insists that the echoes are."""

    __slots__ = ("said",)
    headers = OFFER

    def open(self) -> None:
        """Run the opening handshake."""
        super().open()
        self.said = 0

    def send(self) -> None:
        """Send the next message."""
        self.sock.sendall(conversation()[self.said])
        self.said += 1

    def receive(self) -> None:
        """Take its echo."""
        while True:
            first, size = self._exactly(2)
            if size == 126:
                size = int.from_bytes(self._exactly(2), "big")
            payload = self._exactly(size)
            if first == 0xC0 | TEXT:
                return
            if first != 0x80 | PING:
                raise ConnectionError(f"not a compressed text: {first:#x}")
            self.sock.sendall(masked(PONG, payload))

    def _exactly(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            received += self._receive(size - len(received))
        return received
