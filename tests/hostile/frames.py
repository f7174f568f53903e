"""What a hostile peer sends once the connection is open: a table of attacks, with the code that each must end with.

``needs`` are the rows of :mod:`tests.hostile.rows` that an attack is for.
"""

from __future__ import annotations

import functools
import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tests.hostile.victim import MAX_LENGTH
from tests.support.net import MASK, frame

__all__ = ["FRAMES", "OLD", "Attack", "bomb", "raw"]

KIB = 1024
MIB = 1024 * 1024

#: Makes the frames of one side: ``say(first byte, payload)``.
Say = Callable[[int, bytes], bytes]


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: what it does.
        needs: the rows that it is for.
        chunks: of the mask that its frames need, None for none, makes what is sent; it may be endless.
        code: of the close frame that answers it.
        deflate: whether permessage-deflate is agreed.
        roles: of the victim.
        pace: whether each chunk is to arrive by itself.
    """

    name: str
    needs: tuple[str, ...]
    chunks: Callable[[bytes | None], Iterable[bytes]]
    code: int
    deflate: bool = False
    roles: tuple[str, ...] = ("server", "client")
    pace: bool = False

    def __str__(self) -> str:
        return self.name


def raw(first: int, length: bytes, mask: bytes | None, payload: bytes = b"") -> bytes:
    """Return a frame whose length is given as it stands on the wire, right or wrong; the mask bit is put in."""
    head = bytes((first, length[0] | (0x80 if mask else 0))) + length[1:]
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def masked(payload: bytes, mask: bytes | None) -> bytes:
    """Mask in one go, however much."""
    if mask is None:
        return payload
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def sized(first: int, payload: bytes, mask: bytes | None) -> bytes:
    """Return a right frame of any size."""
    size = len(payload)
    if size < 126:
        length = bytes((size,))
    else:
        length = struct.pack("!BH", 126, size) if size < 65536 else struct.pack("!BQ", 127, size)
    return raw(first, length, mask) + masked(payload, mask)


@functools.cache
def bomb(size: int, letter: bytes = b"\0") -> bytes:
    """Return a message's payload that inflates to so many equal bytes (RFC 7692 §7.2.1)."""
    # (Z_RLE finds the same in a third of the time: 400 MB take 388,202 bytes instead of 388,789.)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    block = letter * MIB
    whole, rest = divmod(size, MIB)
    packed = b"".join([deflater.compress(block) for _ in range(whole)]) + deflater.compress(block[:rest])
    return (packed + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def each(*frames: tuple[int, bytes, bytes]) -> Callable[[bytes | None], Iterable[bytes]]:
    """The same few frames: first byte, length as it stands on the wire, payload."""
    return lambda mask: [b"".join(raw(first, length, mask, payload) for first, length, payload in frames)]


def endless(begin: bytes, again: bytes, size: int = 16 * KIB) -> Callable[[bytes | None], Iterator[bytes]]:
    """One frame, then another for ever, many in a segment. Each is a first byte and a payload."""

    def chunks(mask: bytes | None) -> Iterator[bytes]:
        yield raw(begin[0], bytes((len(begin) - 1,)), mask, begin[1:])
        one = raw(again[0], bytes((len(again) - 1,)), mask, again[1:])
        yield from itertools.repeat(one * (size // len(one)))

    return chunks


def large_fragments(first: int) -> Callable[[bytes | None], Iterator[bytes]]:
    """Fragments, each of which is within the limit."""

    def chunks(mask: bytes | None) -> Iterator[bytes]:
        yield sized(first, bytes(64 * KIB), mask)
        yield from itertools.repeat(sized(0x00, bytes(64 * KIB), mask))

    return chunks


def unfinished(length: int) -> Callable[[bytes | None], Iterator[bytes]]:
    """A frame that declares so much; the payload comes, if it is waited for, 64 KiB at a time."""

    def chunks(mask: bytes | None) -> Iterator[bytes]:
        yield raw(0x82, struct.pack("!BQ", 127, length), mask)
        yield from itertools.repeat(bytes(64 * KIB), length // (64 * KIB))

    return chunks


def packed(*frames: tuple[int, bytes]) -> Callable[[bytes | None], Iterable[bytes]]:
    """Frames with these payloads, compressed already."""
    return lambda mask: [sized(first, payload, mask) for first, payload in frames]


def halves(payload: bytes) -> tuple[tuple[int, bytes], ...]:
    """A compressed message in two fragments."""
    return ((0x42, payload[:100]), (0x80, payload[100:]))


BOMBS = ("CVE-2026-54464", "CVE-2026-54490", "CVE-2021-21419", "CVE-2018-1000518", "tornado-2391", "CVE-2026-1526")
LENGTHS = ("CVE-2026-1528", "CVE-2020-27813", "CVE-2020-13935")
ALL_ONES = b"\x7f" + b"\xff" * 8


def _bombs() -> list[Attack]:
    huge = functools.partial(bomb, 400 * 1000 * 1000)
    small = functools.partial(bomb, 60 * MIB)  # what C2 FE, a length of 16 bits, can carry

    def late(make: Callable[[], tuple[tuple[int, bytes], ...]]) -> Callable[[bytes | None], Iterable[bytes]]:
        return lambda mask: packed(*make())(mask)

    def attack(name: str, make: Callable[[], tuple[tuple[int, bytes], ...]], code: int = 1009) -> Attack:
        return Attack(name, BOMBS, late(make), code, deflate=True)

    return [
        attack("a bomb of 400 MB behind C2 FF", lambda: ((0xC2, huge()),)),
        attack("a bomb of 60 MiB behind C2 FE", lambda: ((0xC2, small()),)),
        attack("a bomb as text", lambda: ((0xC1, small()),)),
        attack("a bomb in two fragments", lambda: halves(small())),
        attack("a bomb of one byte over the limit", lambda: ((0xC2, bomb(MAX_LENGTH + 1)),)),
        attack("a bomb behind a message that is right", lambda: ((0xC2, bomb(1000)), (0xC2, small()))),
        attack("a bomb of final blocks", lambda: ((0xC2, b"\x03\x00" * 20_000),)),
        attack("a bomb that breaks off", lambda: ((0xC2, bomb(MIB)[:-20] + b"\xff" * 20),), 1007),
    ]


FRAMES = [
    *_bombs(),
    # --- fragments
    Attack(
        "unlimited fragments of 1 byte",
        ("CVE-2026-48779", "CVE-2026-65623"),
        endless(b"\x01x", b"\x00x"),
        1009,
    ),
    Attack("unlimited empty continuations", ("CVE-2026-12151",), endless(b"\x01", b"\x00"), 1009),
    Attack(
        "unlimited empty continuations, of a packed message",
        ("CVE-2026-12151",),
        endless(b"\x42", b"\x00"),
        1009,
        deflate=True,
    ),
    Attack("fragments with an unbounded sum", ("CVE-2026-9675",), large_fragments(0x02), 1009),
    Attack(
        "fragments with an unbounded sum, of a packed message", ("CVE-2026-9675",), large_fragments(0x42), 1009, True
    ),
    # --- lengths
    Attack("a declared length over the limit", ("CVE-2026-54274",), unfinished(MAX_LENGTH + 1), 1009),
    Attack("a declared length of 2^40", ("CVE-2026-54274", "CVE-2021-21419"), unfinished(1 << 40), 1009),
    Attack("a declared length of 2^63-1", LENGTHS, unfinished((1 << 63) - 1), 1009),
    Attack("82 FF FF FF FF FF FF FF FF FF", LENGTHS, each((0x82, ALL_ONES, b"")), 1002),
    Attack("the top bit of a length alone", LENGTHS, each((0x82, b"\x7f\x80" + bytes(7), b"")), 1002),
    Attack(
        "a continuation that overflows the sum",
        LENGTHS,
        each((0x02, b"\x02", b"hi"), (0x80, b"\x7f\x7f" + b"\xff" * 7, b"")),
        1009,
    ),
    Attack(
        "a continuation that overflows the sum, of a packed message",
        LENGTHS,
        each((0x42, b"\x02", b"hi"), (0x80, b"\x7f\x7f" + b"\xff" * 7, b"")),
        1009,
        True,
    ),
    Attack("a length of 5 in 2 bytes", LENGTHS, each((0x82, b"\x7e\x00\x05", b"hello")), 1002),
    Attack("a length of 5 in 8 bytes", LENGTHS, each((0x82, b"\x7f" + bytes(7) + b"\x05", b"hello")), 1002),
    Attack("a length of 65535 in 8 bytes", LENGTHS, each((0x82, b"\x7f" + bytes(6) + b"\xff\xff", b"")), 1002),
    # --- reserved bits
    Attack("RSV1 without deflate", ("CVE-2026-59881",), each((0xC1, b"\x01", b"x")), 1002),
    Attack(
        "RSV1 on a continuation", ("CVE-2026-59881",), each((0x01, b"\x01", b"x"), (0xC0, b"\x01", b"x")), 1002, True
    ),
    Attack("RSV1 on a ping", ("CVE-2026-59881",), each((0xC9, b"\x00", b"")), 1002, True),
    Attack("RSV1 on a close frame", ("CVE-2026-59881",), each((0xC8, b"\x02", b"\x03\xe8")), 1002, True),
    Attack("RSV2 beside deflate", ("CVE-2026-59881",), each((0xA1, b"\x01", b"x")), 1002, True),
    Attack("RSV3 beside deflate", ("CVE-2026-59881",), each((0x91, b"\x01", b"x")), 1002, True),
    # --- masks
    Attack(
        "a frame of a client without a mask",
        ("CVE-2025-10148", "GHSA-w67g-5rqw-f597"),
        lambda mask: [frame(1, b"x", mask=None)],
        1002,
        roles=("server",),
    ),
    Attack(
        "a frame of a server with a mask",
        ("CVE-2025-10148", "GHSA-w67g-5rqw-f597"),
        lambda mask: [frame(1, b"x", mask=MASK)],
        1002,
        roles=("client",),
    ),
    # --- kin
    Attack("a ping in fragments", ("kin: control frames",), each((0x09, b"\x00", b"")), 1002),
    Attack("a ping of 126 bytes", ("kin: control frames",), each((0x89, b"\x7e\x00\x7e", bytes(126))), 1002),
    Attack("a close frame of 1 byte", ("kin: control frames",), each((0x88, b"\x01", b"\x03")), 1002),
    Attack("a close frame with 1005", ("kin: control frames",), each((0x88, b"\x02", b"\x03\xed")), 1002),
    Attack("a close frame with 65535", ("kin: control frames",), each((0x88, b"\x02", b"\xff\xff")), 1002),
    Attack("a reason that is no UTF-8", ("kin: text",), each((0x88, b"\x04", b"\x03\xe8\xc0\xaf")), 1007),
    Attack("a reserved opcode", ("kin: opcodes",), each((0x83, b"\x00", b"")), 1002),
    Attack("a reserved opcode of control", ("kin: opcodes",), each((0x8F, b"\x00", b"")), 1002),
    Attack("a continuation of nothing", ("kin: opcodes",), each((0x80, b"\x01", b"x")), 1002),
    Attack("a message within a message", ("kin: opcodes",), each((0x01, b"\x01", b"x"), (0x81, b"\x01", b"x")), 1002),
    Attack("text that is no UTF-8", ("kin: text",), each((0x81, b"\x03", b"\xed\xa0\x80")), 1007),
    Attack(
        "text that is no UTF-8 in the first bytes of a fragment that never ends",
        ("kin: text",),
        lambda mask: [raw(0x01, b"\x7f" + struct.pack("!Q", MIB), mask, b"\xc0\xaf"), bytes(1000)],
        1007,
    ),
    Attack("packed text that is no UTF-8", ("kin: text",), packed((0xC1, bomb(100, b"\xff"))), 1007, True),
]


# --- the versions before the RFC: their servers have the same limits --------------------------------------------------

TO_HIXIE = ("CVE-2026-54463", "CVE-2026-54466")


@dataclass(frozen=True)
class OldAttack:
    """One attack on a server that speaks an old version.

    Attributes:
        name: what it does.
        needs: the rows that it is for.
        versions: that have what it takes.
        chunks: what is sent, without masks; it may be endless.
        code: why the server ends it; hixie's closing frame cannot say so.
    """

    name: str
    needs: tuple[str, ...]
    versions: tuple[str, ...]
    chunks: Callable[[], Iterable[bytes]]
    code: int

    def __str__(self) -> str:
        return self.name


HIXIE = ("hixie-75", "hixie-76")


def _forever(begin: bytes, again: bytes, size: int = 16 * KIB) -> Callable[[], Iterator[bytes]]:
    return lambda: itertools.chain([begin], itertools.repeat(again * (size // len(again))))


OLD = [
    OldAttack("80, then 80 for ever", TO_HIXIE, HIXIE, _forever(b"\x80", b"\x80"), 1002),
    OldAttack("80, then FF for ever", TO_HIXIE, HIXIE, _forever(b"\x80", b"\xff"), 1009),
    OldAttack("80, then 81 for ever", TO_HIXIE, HIXIE, _forever(b"\x80", b"\x81"), 1009),
    OldAttack("FF, then 80 for ever", TO_HIXIE, HIXIE, _forever(b"\xff", b"\x80"), 1002),
    OldAttack("80 80, then a length over the limit", TO_HIXIE, HIXIE, lambda: [b"\x80\x80\x90\x80\x80\x00"], 1009),
    OldAttack("a text that never ends", ("kin: hixie",), HIXIE, _forever(b"\x00", b"x"), 1009),
    OldAttack("a text that is no UTF-8", ("kin: hixie",), HIXIE, lambda: [b"\x00\xed\xa0\x80"], 1007),
]
