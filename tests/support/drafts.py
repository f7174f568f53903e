"""Clients of every version of the protocol, from hixie-75 to RFC 6455, over plain blocking sockets.

Nothing here uses the code under test: no other client of the old versions is left, and a reading of a draft is not
checked by itself. These clients were tried on em-websocket and websocket-driver first (tests/interop/test_drafts.py).
For hybi-04 there is no such server; its masks are also those of libwebsockets 1.0 (``xor_mask_04``).

What is told about the versions is from the drafts: draft-hixie-thewebsocketprotocol-75 and -76,
draft-ietf-hybi-thewebsocketprotocol-00 to -17, RFC 6455.
"""

from __future__ import annotations

import base64
import hashlib
import random
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

__all__ = ["DRAFTS", "Draft", "DraftClient", "RefusedError"]

PATIENCE = 15.0

#: Opcodes of -01 to -06, and of -07 on.
OLD = {"continuation": 0, "close": 1, "ping": 2, "pong": 3, "text": 4, "binary": 5}
RFC = {"continuation": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}


@dataclass(frozen=True)
class Draft:
    """What a client has to know of a version.

    Attributes:
        name: as ``driver.version`` has it.
        opening: the family of its opening handshake: ``'75'``, ``'76'`` or ``'key'``.
        number: the value of Sec-WebSocket-Draft or Sec-WebSocket-Version.
        opcodes: of its frames; None for those of hixie.
        more: whether a frame's first bit says that more fragments follow, not that it is the last.
        mask: how a client masks: ``'none'``, ``'nonce'`` (by -04), ``'frame'`` (all of it) or ``'payload'``.
        codes: whether a close frame has a code.
    """

    name: str
    opening: str
    number: str = ""
    opcodes: dict[str, int] | None = None
    more: bool = False
    mask: str = "none"
    codes: bool = False

    @property
    def has_frames(self) -> bool:
        """Whether there are binary messages, pings, fragments and close frames."""
        return self.opcodes is not None


DRAFTS = {
    draft.name: draft
    for draft in (
        Draft("hixie-75", "75"),
        Draft("hixie-76", "76"),
        Draft("hybi-1", "76", "1", OLD, more=True),
        Draft("hybi-2", "76", "2", OLD, more=True),
        Draft("hybi-3", "76", "3", OLD, more=True),
        Draft("hybi-4", "key", "4", OLD, mask="nonce"),
        Draft("hybi-5", "key", "5", OLD, mask="frame"),
        Draft("hybi-6", "key", "6", OLD, mask="frame", codes=True),
        Draft("hybi-7", "key", "7", RFC, mask="payload", codes=True),
        Draft("hybi-8", "key", "8", RFC, mask="payload", codes=True),
        Draft("hybi-13", "key", "13", RFC, mask="payload", codes=True),
    )
}


class RefusedError(Exception):
    """The server's answer was not the one that this client's request deserves."""


class DraftClient:
    """One connection to a server on the loopback address.

    Args:
        version: a name of :data:`DRAFTS`.
        port: of the server.
        path: to ask for, with its query.
        protocols: to offer.
        origin: of the page that would have asked.
        seed: of all that is random.

    Attributes:
        keys: Sec-WebSocket-Key1 and -Key2, each with the number that it hides.
        body: the 8 bytes behind the head of hixie-76; empty in other versions.
        headers: of the answer, names in lower case.
        log: all bytes so far, ``("client" or "server", bytes)``, in order.
    """

    def __init__(
        self,
        version: str,
        port: int,
        path: str = "/",
        protocols: Sequence[str] = (),
        origin: str = "http://example.com",
        seed: object = None,
    ) -> None:
        self.draft = DRAFTS[version]
        self.port = port
        self.path = path
        self.protocols = protocols
        self.origin = origin
        self.headers: dict[str, str] = {}
        self.log: list[tuple[str, bytes]] = []
        self._random = random.Random(None if seed is None else str(seed))
        self.keys = [self._make_key(), self._make_key()]
        self._numbers = [key[1] for key in self.keys]
        self.body = self._random.randbytes(8) if self.draft.opening == "76" else b""
        self._key = base64.b64encode(self._random.randbytes(16)).decode()
        self._masking_key = b""
        self._buffer = b""
        self._sock: socket.socket | None = None

    # --- the socket -------------------------------------------------------------------------------------------------

    def connect(self) -> DraftClient:
        """Open the TCP connection."""
        self._sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self

    def send(self, data: bytes) -> None:
        """Send these very bytes."""
        assert self._sock is not None
        self._note("client", data)
        self._sock.sendall(data)

    def _receive(self) -> bool:
        assert self._sock is not None
        try:
            data = self._sock.recv(65536)
        except ConnectionResetError:
            data = b""
        self._note("server", data)
        self._buffer += data
        return bool(data)

    def _note(self, side: str, data: bytes) -> None:
        if not data:
            return
        if self.log and self.log[-1][0] == side:
            data = self.log.pop()[1] + data
        self.log.append((side, data))

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._receive():
                raise EOFError(f"{size} bytes should have come; the stream ends with {self._buffer!r}")
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _read_up_to(self, end: bytes) -> bytes:
        while end not in self._buffer:
            if not self._receive():
                raise EOFError(f"the stream ends with {self._buffer!r}")
        data, _, self._buffer = self._buffer.partition(end)
        return data

    def hang_up(self) -> None:
        """Close the TCP connection."""
        if self._sock is not None:
            self._sock.close()

    def __enter__(self) -> DraftClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.hang_up()

    # --- the opening handshake --------------------------------------------------------------------------------------

    def _make_key(self) -> tuple[str, int]:
        """Make a Sec-WebSocket-Key1 or -Key2 and its number (hixie-76 §4.1, steps 16 to 22)."""
        rng = self._random
        spaces = rng.randint(1, 12)
        number = rng.randint(0, (2**32 - 1) // spaces)
        key = str(number * spaces)
        for _ in range(rng.randint(1, 12)):
            char = rng.choice([*range(0x21, 0x30), *range(0x3A, 0x7F)])
            at = rng.randint(0, len(key))
            key = key[:at] + chr(char) + key[at:]
        for _ in range(spaces):
            at = rng.randint(1, len(key) - 1)
            key = key[:at] + " " + key[at:]
        return key, number

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def head(self) -> bytes:
        """Return the request's head."""
        draft = self.draft
        lines = [f"GET {self.path} HTTP/1.1"]
        if draft.opening == "key":
            lines += [f"Host: {self.host}", "Upgrade: websocket", "Connection: Upgrade"]
            lines += [f"Sec-WebSocket-Key: {self._key}", f"Sec-WebSocket-Version: {draft.number}"]
            lines.append(f"{'Origin' if draft.number == '13' else 'Sec-WebSocket-Origin'}: {self.origin}")
        else:
            lines += ["Upgrade: WebSocket", "Connection: Upgrade", f"Host: {self.host}", f"Origin: {self.origin}"]
        if draft.opening == "76":
            lines += [f"Sec-WebSocket-Key{number + 1}: {self.keys[number][0]}" for number in range(2)]
            if draft.number:
                lines.append(f"Sec-WebSocket-Draft: {draft.number}")
        if self.protocols:
            prefix = "" if draft.opening == "75" else "Sec-"
            separator = ", " if draft.opening == "key" else " "
            lines.append(f"{prefix}WebSocket-Protocol: {separator.join(self.protocols)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def open(self, early: bytes = b"") -> DraftClient:
        """Connect, ask, and check the answer.

        Args:
            early: frames to send with the request, in the same segment.
        """
        self.connect()
        self.send(self.head() + self.body + early)
        return self.check_answer()

    def check_answer(self) -> DraftClient:
        """Read the server's answer.

        Raises:
            RefusedError: it is none, or a wrong one.
        """
        status, *lines = self._read_up_to(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = [line.split(": ", 1) for line in lines]
        self.headers = {name.lower(): value for name, value in fields}
        self._expect(len(self.headers) == len(fields), "a header is there twice")
        expected = {
            "75": "HTTP/1.1 101 Web Socket Protocol Handshake",
            "76": "HTTP/1.1 101 WebSocket Protocol Handshake",
            "key": "HTTP/1.1 101 Switching Protocols",
        }
        opening = self.draft.opening
        self._expect(status == expected[opening], f"the answer is {status!r}")
        if opening == "key":
            self._expect_header("upgrade", "websocket")
            self._check_accept()
        else:
            self._expect_header("upgrade", "WebSocket")
            prefix = "sec-websocket" if opening == "76" else "websocket"
            self._expect_header(f"{prefix}-origin", self.origin)
            self._expect_header(f"{prefix}-location", f"ws://{self.host}{self.path}")
        self._expect_header("connection", "Upgrade")
        if opening == "76":
            challenge = b"".join(struct.pack(">I", number) for number in self._numbers) + self.body
            self._expect(self._read(16) == hashlib.md5(challenge).digest(), "the answer to the challenge is wrong")
        return self

    def take_answer(self, data: bytes) -> DraftClient:
        """Check an answer that came by another way than this client's socket.

        Raises:
            RefusedError: it is none, or a wrong one.
        """
        self._note("server", data)
        self._buffer += data
        return self.check_answer()

    def _check_accept(self) -> None:
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1((self._key + guid).encode()).digest()).decode()
        self._expect_header("sec-websocket-accept", accept)
        if self.draft.mask == "nonce":
            nonce = self.headers.get("sec-websocket-nonce", "")
            self._expect(len(base64.b64decode(nonce, validate=True)) == 16, "the nonce is not 16 bytes in base64")
            guid = "61AC5F19-FBBA-4540-B96F-6561F1AB40A8"
            self._masking_key = hashlib.sha1((self._key + nonce + guid).encode()).digest()

    def _expect_header(self, name: str, value: str) -> None:
        found = self.headers.get(name)
        self._expect(found == value, f"header {name} is {found!r}, not {value!r}")

    def _expect(self, right: bool, complaint: str) -> None:
        if not right:
            raise RefusedError(f"{self.draft.name}: {complaint}")

    # --- frames out -------------------------------------------------------------------------------------------------

    def frame(self, kind: str, payload: bytes = b"", final: bool = True) -> bytes:
        """Return one frame as this version's client sends it; it is masked with random bytes."""
        draft = self.draft
        if draft.opcodes is None:
            if kind == "close":
                assert draft.name == "hixie-76", "hixie-75 has no closing handshake"
                return b"\xff\x00"
            assert kind == "text", f"{draft.name} has no {kind} frames"
            return b"\x00" + payload + b"\xff"
        first = draft.opcodes[kind] | (0x80 if final != draft.more else 0)
        masked = draft.mask == "payload"
        size = len(payload)
        if size < 126:
            head = struct.pack("!BB", first, size | 0x80 * masked)
        elif size < 65536:
            head = struct.pack("!BBH", first, 126 | 0x80 * masked, size)
        else:
            head = struct.pack("!BBQ", first, 127 | 0x80 * masked, size)
        if draft.mask == "none":
            return head + payload
        key = self._random.randbytes(4)
        if masked:
            return head + key + xor(payload, key)
        if draft.mask == "frame":
            return key + xor(head + payload, key)
        return key + xor(head + payload, hashlib.sha1(key + self._masking_key).digest())

    def send_text(self, text: str) -> None:
        """Send a text message in one frame."""
        self.send(self.frame("text", text.encode()))

    def send_binary(self, data: bytes) -> None:
        """Send a binary message in one frame."""
        self.send(self.frame("binary", data))

    def send_fragments(self, kind: str, parts: Sequence[bytes], between: bytes = b"") -> None:
        """Send a message in fragments.

        Args:
            kind: of the message.
            parts: what each fragment has.
            between: a frame to send behind the first fragment.
        """
        last = len(parts) - 1
        for index, part in enumerate(parts):
            self.send(self.frame("continuation" if index else kind, part, index == last))
            if not index:
                self.send(between)

    def ping(self, data: bytes = b"") -> None:
        """Send a ping."""
        self.send(self.frame("ping", data))

    def close(self, code: int | None = None, reason: str = "", body: bytes | None = None) -> None:
        """Say that this is the end, in the way that the version has.

        Args:
            code, reason: what the close frame says.
            body: all of the close frame's body, instead.
        """
        assert self._sock is not None
        if body is None:
            assert code is None or self.draft.codes
            body = b"" if code is None else struct.pack("!H", code) + reason.encode()
        if self.draft.name == "hixie-75":
            self._sock.shutdown(socket.SHUT_WR)
        else:
            self.send(self.frame("close", body))

    # --- frames in --------------------------------------------------------------------------------------------------

    def recv(self) -> tuple[str, str | bytes]:
        """Read one message or control frame: ``("text", str)``, ``("binary" or "ping" or "pong" or "close", bytes)``.

        ``("end", b"")`` where the stream ends in order.
        """
        if not self._buffer and not self._receive():
            return "end", b""
        if self.draft.opcodes is None:
            if self._read(1) == b"\x00":
                return "text", self._read_up_to(b"\xff").decode()
            self._expect(self._read(1) == b"\x00", "the server sent a frame of another type than text")
            self._expect(self.draft.name == "hixie-76", "hixie-75 has no closing frame")
            return "close", b""
        kind, data, final = self._read_frame()
        while not final:
            more, part, final = self._read_frame()
            self._expect(more == "continuation", "a message is not continued")
            data += part
        self._expect(kind != "continuation", "there is nothing to continue")
        return kind, data.decode() if kind == "text" else data

    def _read_frame(self) -> tuple[str, bytes, bool]:
        """Read one frame of the server; it is not masked."""
        draft = self.draft
        assert draft.opcodes is not None
        first, size = self._read(2)
        self._expect(first & 0x70 == 0, "a reserved bit is set")
        self._expect(size < 0x80, "rsv4 or the mask bit is set")
        kind = {opcode: kind for kind, opcode in draft.opcodes.items()}[first & 0x0F]
        shortest = 0
        if size == 126:
            (size,) = struct.unpack("!H", self._read(2))
            shortest = 126
        elif size == 127:
            (size,) = struct.unpack("!Q", self._read(8))
            shortest = 65536
        self._expect(size >= shortest, "a length is not in its shortest form")
        return kind, self._read(size), (first >= 0x80) != draft.more

    def expect(self, *expected: tuple[str, str | bytes]) -> None:
        """Read so much, and check that it is this."""
        for item in expected:
            found = self.recv()
            # Not compared in the assertion: a difference of kilobytes takes pytest long to show.
            assert found[0] == item[0], f"{item[0]} should have come, not {found[0]}: {found[1][:100]!r}"
            same = found[1] == item[1]
            assert same, f"{item[0]} {item[1][:100]!r} should have come, not {found[1][:100]!r}"


def xor(data: bytes, key: bytes) -> bytes:
    """XOR each byte with the key's byte at its index modulo the key's length."""
    size = len(key)
    tables = [bytes(byte ^ k for byte in range(256)) for k in key]
    result = bytearray(data)
    for index, table in enumerate(tables):
        result[index::size] = result[index::size].translate(table)
    return bytes(result)


def joined(log: Iterable[tuple[str, bytes]], side: str) -> bytes:
    """Return all that one side said."""
    return b"".join(data for who, data in log if who == side)
