"""What passes on a connection, frame by frame, in the log: for ``debug=True``.

It stands around the socket and looks on. The connection does not know of it, and costs nothing more where it is not
there. Payloads are never shown beyond their first bytes, nor are header fields, which hold cookies and passwords.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from wsdriver.driver.driver import Driver
from wsdriver.driver.versions import VERSIONS, Masking, Opening, Version
from wsdriver.framing.opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from wsdriver.framing.unmasking import FrameUnmasker, frame_mask_04, masking_key_04
from wsdriver.http import MAX_HEAD, Headers, authority_of
from wsdriver.log import log

__all__ = ["FrameLog", "HixieFrames", "HybiFrames"]

#: Bytes of a payload that are shown, and of a head's first line.
PREVIEW = 16
MAX_LINE = 200

#: Bytes of a frame's header, at most.
_MAX_HEADER = 14

#: Bytes of frames that a client may send before it is answered, so that nobody knows yet which version they are of.
_MAX_EARLY = 1024 * 1024

_NAMES = {CONTINUATION: "continuation", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}


class FrameLog:
    """A socket that logs what passes through it; all else of the socket is as it was.

    Args:
        sock: to read from and write to; with TLS or without.
        driver: which knows the version that is spoken.
        client: whether we are the client: then the request has been sent already.
        early: bytes that came off the socket already.
    """

    def __init__(self, sock: Any, driver: Driver, client: bool, early: bytes) -> None:
        self._sock = sock
        self._driver = driver
        peer = _name_of_peer(sock)
        self._received = _Direction(f"{peer} ->", client or not driver.connected)
        self._sent = _Direction(f"{peer} <-", not client)
        if client:
            self._sent.tell(f"GET {driver.target.resource} HTTP/1.1")
            self._sent.frames = HybiFrames(VERSIONS["hybi-13"])
        elif driver.connected:
            # A server has read it: as much of it as there is.
            self._received.tell(f"{driver.method} /{str(driver.url).split('/', 3)[3]} HTTP/1.1")
        self._receive(early)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv_into(self, buffer: bytearray) -> int:
        count: int = self._sock.recv_into(buffer)
        with memoryview(buffer) as view:
            data = bytes(view[:count])
        self._receive(data)
        return count

    def send(self, data: memoryview) -> int:
        count: int = self._sock.send(data)
        # Copied: while a view lives, what it is of cannot grow.
        self._send(bytes(data[:count]))
        return count

    def sendmsg(self, buffers: Sequence[memoryview]) -> int:
        count: int = self._sock.sendmsg(buffers)
        left = count
        for part in buffers:
            self._send(bytes(part[:left]))
            left = max(0, left - len(part))
        return count

    def _receive(self, data: bytes) -> None:
        head = self._received.feed(data)
        if head is not None and self._sent.frames is not None:
            self._received.begin(HybiFrames(VERSIONS["hybi-13"]), 0)  # we are the client, and are answered

    def _send(self, data: bytes) -> None:
        head = self._sent.feed(data)
        if head is None:
            return
        version = VERSIONS[self._driver.version or "hybi-13"]
        challenged = version.opening is Opening.CHALLENGE
        self._sent.begin(_frames(version), 16 if challenged else 0)
        self._received.begin(_frames(version, self._unmasker(version, head)), 8 if challenged else 0)

    def _unmasker(self, version: Version, head: bytes) -> FrameUnmasker | None:
        """Return what takes the masks off that cover headers, too (hybi-04 to -06)."""
        if version.masking is Masking.FRAME:
            return FrameUnmasker(None)
        if version.masking is Masking.FRAME_BY_NONCE:
            asked = (self._driver.headers or Headers())["Sec-WebSocket-Key"]
            nonce = head.partition(b"\r\nSec-WebSocket-Nonce: ")[2].partition(b"\r\n")[0]
            key = masking_key_04(asked.strip(" \t"), nonce.decode("ascii"))
            return FrameUnmasker(partial(frame_mask_04, masking_key=key))
        return None


def _name_of_peer(sock: Any) -> str:
    try:
        address = sock.getpeername()
    except OSError:
        return "a lost peer"
    return authority_of(*address[:2]) if isinstance(address, tuple) else "unix"


class _Direction:
    """What goes one way: a head, bytes that end the handshake, and frames.

    Args:
        name: of the peer and the direction.
        has_head: whether the head is still to come.

    Attributes:
        frames: what describes them, once they may come.
    """

    def __init__(self, name: str, has_head: bool) -> None:
        self._name = name
        self._in_head = has_head
        self._told = False
        self._held = b""
        self._skip = 0
        self._silent = False
        self.frames: HybiFrames | HixieFrames | None = None

    def tell(self, line: str) -> None:
        log.debug("%s %.*s", self._name, MAX_LINE, line)

    def begin(self, frames: HybiFrames | HixieFrames, skip: int) -> None:
        """Take what comes from now on, and what is held, for frames, behind ``skip`` bytes of the handshake."""
        self.frames = frames
        self._skip = skip
        held, self._held = self._held, b""
        self.feed(held)

    def feed(self, data: bytes) -> bytes | None:
        """Take what passes; return the head of an answer that makes it a WebSocket, when it is complete."""
        if self._silent or not data:
            return None
        if self._in_head:
            return self._read_head(self._held + data)
        if self.frames is None:
            self._held += data
            self._silent = len(self._held) > _MAX_EARLY
            return None
        skipped = data[self._skip :]
        self._skip = max(0, self._skip - len(data))
        for line in self.frames.feed(skipped):
            self.tell(line)
        return None

    def _read_head(self, data: bytes) -> bytes | None:
        line, end, _ = data.partition(b"\r\n")
        if not self._told and (end or len(line) > MAX_LINE):
            self._told = True
            self.tell(repr(line[:MAX_LINE])[2:-1])
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._held = data
            self._silent = len(data) > MAX_HEAD
            return None
        self._held = rest
        is_answer = line.startswith(b"HTTP/")
        status = line[9:12]
        if is_answer and status != b"101":
            if status.startswith(b"1"):  # another answer follows
                self._told = False
                return self._read_head(rest) if rest else None
            self._silent = True  # a refusal, and its sentence
            return None
        self._in_head = False
        return head + end if is_answer else None


def _frames(version: Version, unmasker: FrameUnmasker | None = None) -> HybiFrames | HixieFrames:
    return HybiFrames(version, unmasker) if version.framed else HixieFrames()


def _preview(payload: bytes, length: int) -> str:
    return f"{payload[:PREVIEW]!r}{'...' if length > PREVIEW else ''}"


class HybiFrames:
    """Describes frames as they pass, each as soon as its first bytes are there.

    Args:
        version: of which the frames are.
        unmasker: what takes masks off that cover headers, too.
    """

    def __init__(self, version: Version, unmasker: FrameUnmasker | None = None) -> None:
        self._version = version
        self._unmasker = unmasker
        self._held = b""
        self._left = 0  # bytes of a payload that are still to come, or to be passed over

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; return the descriptions of the frames that begin in them."""
        if self._unmasker is not None:
            data = self._unmasker.feed(data)
        data = self._held + data
        at, end = 0, len(data)
        lines: list[str] = []
        while at < end:
            if self._left:
                passed = min(self._left, end - at)
                self._left -= passed
                at += passed
                continue
            size = self._describe(data[at : at + _MAX_HEADER + PREVIEW], lines)
            if not size:
                break
            at += size
        self._held = data[at:]
        return lines

    def _describe(self, data: bytes, lines: list[str]) -> int:
        """Describe the frame that begins here; return the size of its header, or 0 where more has to come."""
        if len(data) < 2:
            return 0
        first, length = data[0], data[1] & 0x7F
        start = {126: 4, 127: 10}.get(length, 2)
        if start > 2:
            length = int.from_bytes(data[2:start], "big")
        payload_start = start + 4 if data[1] & 0x80 else start
        if len(data) < payload_start + min(length, PREVIEW):
            return 0
        payload = data[payload_start : payload_start + min(length, PREVIEW)]
        if data[1] & 0x80:
            key = data[start:payload_start] * (PREVIEW // 4)
            payload = bytes(byte ^ mask for byte, mask in zip(payload, key, strict=False))
        version = self._version
        wire = first & 15
        opcode = version.opcodes[wire]
        words = [_NAMES.get(opcode, f"opcode {wire}")]
        if opcode == CLOSE and version.supports_close_codes and length > 1:
            words.append(str(int.from_bytes(payload[:2], "big")))
        words.append(f"{length} bytes")
        final = first >= 0x80
        if final != version.more:
            words.append("fin")
        for bit, name in ((0x40, "compressed" if version.extensible else "rsv1"), (0x20, "rsv2"), (0x10, "rsv3")):
            if first & bit:
                words.append(name)
        lines.append(f"{', '.join(words)}: {_preview(payload, length)}")
        self._left = length
        return payload_start


class HixieFrames:
    """Describes the frames of hixie-75 and -76 as they pass: a text when it ends, for only then its length is known."""

    def __init__(self) -> None:
        self._kind = -1  # the type byte of the frame that is being read, if any
        self._payload = b""  # ... its first bytes
        self._length = 0  # ... of them so far; or its declared length, as far as it is read
        self._left = 0  # bytes of a counted frame that are to be passed over

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; return the descriptions of the frames that end in them, or of which the length does."""
        lines: list[str] = []
        at, end = 0, len(data)
        while at < end:
            if self._left:
                passed = min(self._left, end - at)
                self._left -= passed
                at += passed
            elif self._kind < 0:
                self._kind = data[at]
                self._payload = b""
                self._length = 0
                at += 1
            elif self._kind < 0x80:
                at = self._read_text(data, at, lines)
            else:
                self._length = self._length << 7 | data[at] & 0x7F
                if data[at] < 0x80:
                    closing = self._kind == 0xFF and not self._length
                    lines.append(f"{'close' if closing else f'type 0x{self._kind:02x}'}, {self._length} bytes")
                    self._left = self._length
                    self._kind = -1
                at += 1
        return lines

    def _read_text(self, data: bytes, at: int, lines: list[str]) -> int:
        stop = data.find(b"\xff", at)
        complete = stop >= 0
        if not complete:
            stop = len(data)
        self._payload += data[at : min(stop, at + PREVIEW - len(self._payload))]
        self._length += stop - at
        if complete:
            name = f"type 0x{self._kind:02x}" if self._kind else "text"
            lines.append(f"{name}, {self._length} bytes: {_preview(self._payload, self._length)}")
            self._kind = -1
            stop += 1
        return stop
