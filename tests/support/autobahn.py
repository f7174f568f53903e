"""The numbered cases of the Autobahn test suite as vectors of our own: what is sent, and what is strictly right.

Written from the published descriptions of the cases. A case is a list of steps; a step is bytes from the peer and all
that must be written, and nothing else, once these bytes are in. So the moment of each answer and of each failure is
part of the vector, and "non-strict" outcomes do not exist here. The application is an echo, as in the suite's test
endpoints. What the suite leaves to timing (7.1.6) or calls informational (7.13.x) is held to RFC 6455.

Frames are made by ``tests.support.net.frame``; only masking has a second, faster form here, for the 16 MiB ones.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from tests.support.net import MASK, frame

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80

HELLO = b"Hello, world!"


# --- frames ----------------------------------------------------------------------------------------------------------

_XOR = [bytes(value ^ key for value in range(256)) for key in range(256)]


def fast_mask(data: bytes, key: bytes) -> bytes:
    """RFC 6455 §5.3, four strides at once; the tests compare it with the form of the book."""
    result = bytearray(len(data))
    for i in range(4):
        result[i::4] = data[i::4].translate(_XOR[key[i]])
    return bytes(result)


def peer_frame(opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, masked: bool) -> bytes:
    """Return a frame of the peer; ``rsv`` is the number of the three bits, 1 to 7."""
    if not masked or len(payload) < 32:
        return frame(opcode, payload, fin=fin, rsv=rsv << 4, mask=MASK if masked else None)
    plain = frame(opcode, payload, fin=fin, rsv=rsv << 4, mask=None)
    size = len(plain) - len(payload)
    return plain[:1] + bytes((plain[1] | 0x80,)) + plain[2:size] + MASK + fast_mask(payload, MASK)


def read_frames(data: bytes, *, masked: bool) -> Iterator[tuple[int, bytes]]:
    """Yield ``(first byte, payload)`` of whole frames; length forms and masks are checked (RFC 6455 §5.2)."""
    at = 0
    while at < len(data):
        first, second = data[at], data[at + 1]
        assert bool(second & 0x80) is masked, "a client masks, a server does not (RFC 6455 §5.1)"
        size = second & 0x7F
        at += 2
        if size == 126:
            (size,) = struct.unpack_from("!H", data, at)
            at += 2
            assert size >= 126
        elif size == 127:
            (size,) = struct.unpack_from("!Q", data, at)
            at += 8
            assert size >= 65536
        key = b""
        if masked:
            key = data[at : at + 4]
            at += 4
        payload = data[at : at + size]
        assert len(payload) == size, "half a frame was written"
        at += size
        yield first, fast_mask(payload, key) if masked else payload


# --- cases -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fail:
    """A close frame with this code and a reason of its own, and no clean end: the connection is failed."""

    code: int


#: A frame that must be written: first byte and payload; or the failure.
Reply = tuple[int, bytes] | Fail


@dataclass(frozen=True)
class Step:
    """Bytes from the peer, of a frame or of a part of one, and all that must have been written when they are in."""

    opcode: int
    payload: bytes = b""
    replies: tuple[Reply, ...] = ()
    fin: bool = True
    rsv: int = 0
    part: tuple[int, int] | None = None  # only these bytes of the payload; the head goes with the first of them

    def data(self, masked: bool) -> bytes:
        whole = peer_frame(self.opcode, self.payload, fin=self.fin, rsv=self.rsv, masked=masked)
        if self.part is None:
            return whole
        head = len(whole) - len(self.payload)
        start, stop = self.part
        return whole[head + start if start else 0 : head + stop]


#: How bytes are cut: one piece; frame by frame; or in pieces of so many octets.
Chop = str | int


@dataclass(frozen=True)
class Case:
    """One case: ``chops`` holds the one that the suite prescribes, and others where they cost little."""

    number: str
    steps: tuple[Step, ...]
    chops: tuple[Chop, ...] = ("whole", "frames", 1)

    @property
    def failure(self) -> int | None:
        """The code with which the connection is to be failed, if it is."""
        return next((reply.code for step in self.steps for reply in step.replies if isinstance(reply, Fail)), None)

    @property
    def closed_with(self) -> tuple[int, str]:
        """The close code and reason that the peer sends, where the connection is not failed."""
        body = next(step.payload for step in self.steps if step.opcode == CLOSE)
        return (int.from_bytes(body[:2], "big"), body[2:].decode()) if body else (1005, "")

    @property
    def messages(self) -> list[str | bytes]:
        """What the application is to receive: what it echoes."""
        replies = [reply for step in self.steps for reply in step.replies if not isinstance(reply, Fail)]
        return [data.decode() if first == FIN | TEXT else data for first, data in replies if first & 15 in (1, 2)]

    def at(self, masked: bool, how: Chop) -> Iterator[tuple[list[bytes], tuple[Reply, ...]]]:
        """Yield pieces to be fed, and what must be written after the last of them."""
        if how == "frames":
            for step in self.steps:
                yield [step.data(masked)], step.replies
            return
        if how == "whole":
            replies = tuple(reply for step in self.steps for reply in step.replies)
            yield [b"".join(step.data(masked) for step in self.steps)], replies
            return
        assert isinstance(how, int)
        for step in self.steps:
            data = step.data(masked)
            yield [data[i : i + how] for i in range(0, len(data), how)], step.replies


def close_body(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


NORMAL = close_body(1000)

#: How the suite ends a case that has gone well, and the answer.
END = Step(CLOSE, NORMAL, ((FIN | CLOSE, NORMAL),))


def echo(opcode: int, payload: bytes) -> tuple[Reply, ...]:
    return ((FIN | opcode, payload),)


def message(payload: bytes, opcode: int = TEXT) -> Step:
    """Return an unfragmented message and its echo."""
    return Step(opcode, payload, echo(opcode, payload))


def ping(payload: bytes = b"") -> Step:
    return Step(PING, payload, echo(PONG, payload))


def fragments(parts: Sequence[bytes], opcode: int = TEXT) -> list[Step]:
    """Return a message in those fragments; the echo is one message, in one frame."""
    last = len(parts) - 1
    whole = b"".join(parts)
    return [
        Step(opcode if i == 0 else CONTINUATION, part, echo(opcode, whole) if i == last else (), fin=i == last)
        for i, part in enumerate(parts)
    ]


def split(payload: bytes, size: int) -> list[bytes]:
    return [payload[i : i + size] for i in range(0, len(payload), size)] or [b""]


def failing(step: Step, code: int = 1002) -> Step:
    """Return the step with the failure as its only answer."""
    return Step(step.opcode, step.payload, (Fail(code),), step.fin, step.rsv, step.part)


def ignored(*steps: Step) -> list[Step]:
    """Return steps to which nobody answers any more."""
    return [Step(step.opcode, step.payload, (), step.fin, step.rsv, step.part) for step in steps]


def good(number: str, steps: Iterable[Step], *chops: Chop) -> Case:
    """Return a case that goes well and is ended by the suite."""
    return Case(number, (*steps, END), chops or ("whole", "frames", 1))


def bad(number: str, *steps: Step) -> Case:
    """Return a case that ends in a failure, which one of the steps carries."""
    return Case(number, steps)


# --- 1: framing ------------------------------------------------------------------------------------------------------


def framing() -> list[Case]:
    sizes = (0, 125, 126, 127, 128, 65535, 65536, 65536)
    cases = []
    for group, opcode, fill in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for i, size in enumerate(sizes, 1):
            chops: tuple[Chop, ...] = ("whole", "frames", 1) if size < 1000 else ("whole", "frames", 997)
            cases.append(good(f"1.{group}.{i}", [message(fill * size, opcode)], *chops))
    return cases


# --- 2: pings and pongs ----------------------------------------------------------------------------------------------


def pings() -> list[Case]:
    ten = [ping(b"payload-%d" % i) for i in range(10)]
    return [
        good("2.1", [ping()]),
        good("2.2", [ping(HELLO)]),
        good("2.3", [ping(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")]),
        good("2.4", [ping(b"\xfe" * 125)]),
        bad("2.5", failing(Step(PING, b"\xfe" * 126)), *ignored(END)),
        good("2.6", [ping(b"\xfe" * 125)]),
        good("2.7", [Step(PONG)]),
        good("2.8", [Step(PONG, b"unsolicited pong payload")]),
        good("2.9", [Step(PONG, b"unsolicited pong payload"), ping(b"ping payload")]),
        good("2.10", ten),
        good("2.11", ten),
    ]


# --- 3, 4: reserved bits and opcodes ---------------------------------------------------------------------------------


def reserved() -> list[Case]:
    hello, after = message(HELLO), ignored(ping())
    cases = [bad("3.1", failing(Step(TEXT, HELLO, rsv=1)))]
    cases += [bad(f"3.{rsv}", hello, failing(Step(TEXT, HELLO, rsv=rsv)), *after) for rsv in (2, 3, 4)]
    cases.append(bad("3.5", failing(Step(BINARY, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", rsv=5))))
    cases.append(bad("3.6", failing(Step(PING, HELLO, rsv=6))))
    cases.append(bad("3.7", failing(Step(CLOSE, NORMAL, rsv=7))))
    for group, base in ((1, 3), (2, 11)):
        for i in range(5):
            step = failing(Step(base + i, HELLO if i in (1, 3, 4) else b""))
            before = [hello] if i >= 2 else []
            cases.append(bad(f"4.{group}.{i + 1}", *before, step, *after))
    return cases


# --- 5: fragmentation ------------------------------------------------------------------------------------------------


def fragmentation() -> list[Case]:
    two = fragments([b"fragment1", b"fragment2"])
    between = [two[0], ping(b"ping payload"), two[1]]
    five = fragments([b"fragment%d" % i for i in range(1, 6)])
    pinged = [*five[:2], ping(b"pongme 1!"), *five[2:4], ping(b"pongme 2!"), five[4]]
    cases = [
        bad("5.1", failing(Step(PING, b"fragment1", fin=False)), *ignored(Step(CONTINUATION, b"fragment2"))),
        bad("5.2", failing(Step(PONG, b"fragment1", fin=False)), *ignored(Step(CONTINUATION, b"fragment2"))),
        *(good(f"5.{i}", two) for i in (3, 4, 5)),
        *(good(f"5.{i}", between) for i in (6, 7, 8)),
    ]
    for first, fin in ((9, True), (12, False)):
        orphan = failing(Step(CONTINUATION, b"non-continuation payload", fin=fin))
        cases += [bad(f"5.{first + i}", orphan, *ignored(message(HELLO))) for i in range(3)]
    orphan = failing(Step(CONTINUATION, b"fragment3", fin=False))
    cases.append(bad("5.15", *two, orphan, *ignored(Step(TEXT, b"fragment4"))))
    for number, fin in (("5.16", False), ("5.17", True)):
        again = [Step(CONTINUATION, b"fragment1", fin=fin), *fragments([b"fragment2", b"fragment3"])]
        cases.append(bad(number, failing(again[0]), *ignored(*again[1:], *again)))
    cases.append(bad("5.18", Step(TEXT, b"fragment1", fin=False), failing(Step(TEXT, b"fragment2"))))
    cases += [good("5.19", pinged), good("5.20", pinged)]
    return cases


# --- 6: UTF-8 --------------------------------------------------------------------------------------------------------

MIXED = "Hello-µ@ßöäüàá-UTF-8!!".encode()
#: A Greek word; its second letter is U+1F79, of three octets, not its canonical twin of two.
KOSME = bytes.fromhex("ceba e1bdb9 cf83 cebc ceb5")

#: The octets of each sequence (Markus Kuhn's decoder stress test, as the suite numbers it) and whether it is UTF-8.
UTF8_GROUPS: dict[int, list[tuple[bool, bytes]]] = {
    5: [
        *((True, f"hello{character}world".encode()) for character in "$¢€\U00024b62"),
        (True, KOSME),
    ],
    # Every prefix: right where it ends with a character.
    6: [(end in (2, 5, 7, 9, 11), KOSME[:end]) for end in range(1, len(KOSME) + 1)],
    7: [(True, chr(code).encode()) for code in (0x0, 0x80, 0x800, 0x10000)],
    8: [(False, bytes.fromhex(octets)) for octets in ("f888808080", "fc8480808080")],
    9: [(True, chr(code).encode()) for code in (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)],
    10: [(False, bytes.fromhex(octets)) for octets in ("f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf")],
    11: [
        *((True, chr(code).encode()) for code in (0xD7FF, 0xE000, 0xFFFD, 0x10FFFF)),
        (False, b"\xf4\x90\x80\x80"),
    ],
    12: [
        (False, b"\x80"),
        *((False, (b"\xbf" if count == 1 else b"\x80\xbf\x80\xbf\x80\xbf"[:count])) for count in range(1, 7)),
        (False, bytes(range(0x80, 0xBF))),
    ],
    13: [
        (False, b"".join(b"%c " % octet for octet in range(start, stop)))
        for start, stop in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))
    ],
    14: [
        (False, bytes.fromhex(octets))
        for octets in (
            *("c0", "e080", "f08080", "f8808080", "fc80808080"),
            *("df", "efbf", "f7bfbf", "fbbfbfbf", "fdbfbfbfbf"),
        )
    ],
    15: [(False, bytes.fromhex("c0e080f08080f8808080fc80808080dfefbff7bfbffbbfbfbffdbfbfbfbf"))],
    16: [(False, bytes.fromhex(octets)) for octets in ("fe", "ff", "fefeffff")],
    17: [(False, bytes.fromhex(octets)) for octets in ("c0af", "e080af", "f08080af", "f8808080af", "fc80808080af")],
    18: [(False, bytes.fromhex(octets)) for octets in ("c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf")],
    19: [(False, bytes.fromhex(octets)) for octets in ("c080", "e08080", "f0808080", "f880808080", "fc8080808080")],
    20: [
        (False, chr(code).encode("utf-8", "surrogatepass"))
        for code in (0xD800, 0xDB7F, 0xDB80, 0xDBFF, 0xDC00, 0xDF80, 0xDFFF)
    ],
    21: [
        (False, (chr(high) + chr(low)).encode("utf-8", "surrogatepass"))
        for high in (0xD800, 0xDB7F, 0xDB80, 0xDBFF)
        for low in (0xDC00, 0xDFFF)
    ],
    # Noncharacters are characters to UTF-8: the last two of each plane, in the suite's order.
    22: [(True, chr((plane << 16) + end).encode()) for plane in range(17) for end in (0xFFFE, 0xFFFF)],
    23: [(True, chr(code).encode()) for code in range(0xFFF9, 0x10000)],
}


def utf8() -> list[Case]:
    bytewise = [bytes((octet,)) for octet in MIXED]
    broken = KOSME + b"\xed\xa0\x80" + b"edited"
    cases = [
        good("6.1.1", [message(b"")]),
        good("6.1.2", fragments([b"", b"", b""])),
        good("6.1.3", fragments([b"", b"middle frame payload", b""])),
        good("6.2.1", [message(MIXED)]),
        good("6.2.2", fragments(["Hello-µ@ßöä".encode(), "üàá-UTF-8!!".encode()])),
        good("6.2.3", fragments(bytewise)),
        good("6.2.4", fragments([bytes((octet,)) for octet in KOSME])),
        bad("6.3.1", failing(Step(TEXT, broken), 1007)),
    ]
    # Octet by octet in fragments: ED A0 can begin nothing, so the A0 is the octet that must end it.
    steps = [
        Step(TEXT if i == 0 else CONTINUATION, broken[i : i + 1], fin=i == len(broken) - 1) for i in range(len(broken))
    ]
    at = len(KOSME) + 1
    cases.append(bad("6.3.2", *steps[:at], failing(steps[at], 1007), *steps[at + 1 :]))
    # Fail fast: three parts, as frames or as chops of one frame; the second part ends it, before the third is sent.
    for first, parts in (
        (1, (KOSME, b"\xf4\x90\x80\x80", b"edited")),
        (2, (KOSME + b"\xf4", b"\x90", b"\x80\x80edited")),
    ):
        frames = [Step(TEXT if i == 0 else CONTINUATION, part, fin=i == 2) for i, part in enumerate(parts)]
        cases.append(bad(f"6.4.{first}", frames[0], failing(frames[1], 1007), frames[2]))
        whole = b"".join(parts)
        one, two = len(parts[0]), len(parts[0]) + len(parts[1])
        chops = [Step(TEXT, whole, part=part) for part in ((0, one), (one, two), (two, len(whole)))]
        cases.append(bad(f"6.4.{first + 2}", chops[0], failing(chops[1], 1007), chops[2]))
    for group, sequences in UTF8_GROUPS.items():
        for i, (valid, octets) in enumerate(sequences, 1):
            number = f"6.{group}.{i}"
            cases.append(good(number, [message(octets)]) if valid else bad(number, failing(Step(TEXT, octets), 1007)))
    return cases


# --- 7: the closing handshake ----------------------------------------------------------------------------------------

VALID_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
INVALID_CODES = (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)


def closing() -> list[Case]:
    hello = message(HELLO)
    part = fragments([b"fragment1", b"fragment2"])
    large = message((b"BAsd7&jh23" * 26215)[: 256 * 1024])
    cases = [
        Case("7.1.1", (hello, END)),
        Case("7.1.2", (END, *ignored(END))),
        Case("7.1.3", (END, *ignored(ping()))),
        Case("7.1.4", (END, *ignored(hello))),
        Case("7.1.5", (part[0], END, *ignored(part[1]))),
        Case("7.1.6", (large, message(b"Hello World!"), END, *ignored(ping())), ("whole", "frames", 997)),
        bad("7.3.2", failing(Step(CLOSE, b"a"))),
        bad("7.3.6", failing(Step(CLOSE, close_body(1000, "*" * 124)))),
        bad("7.5.1", failing(Step(CLOSE, NORMAL + KOSME + b"\xed\xa0\x80edited"), 1007)),
    ]
    bodies = {
        "7.3.1": b"",
        "7.3.3": NORMAL,
        "7.3.4": close_body(1000, "Hello World!"),
        "7.3.5": close_body(1000, "*" * 123),
        **{f"7.7.{i}": close_body(code) for i, code in enumerate(VALID_CODES, 1)},
    }
    cases += [Case(number, (Step(CLOSE, body, ((FIN | CLOSE, body),)),)) for number, body in bodies.items()]
    wrong = {
        **{f"7.9.{i}": code for i, code in enumerate(INVALID_CODES, 1)},
        # Informational in the suite; RFC 6455 §7.4.2 has no codes over 4999.
        "7.13.1": 5000,
        "7.13.2": 65535,
    }
    cases += [bad(number, failing(Step(CLOSE, close_body(code)))) for number, code in wrong.items()]
    return cases


# --- 9, 10: sizes and fragments --------------------------------------------------------------------------------------

KIB, MIB = 1024, 1024 * 1024

TEXTS = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich; 0123456789 €. ".encode()


@lru_cache(maxsize=4)
def filled(opcode: int, size: int) -> bytes:
    """Return a payload: text with characters of 1 to 3 octets, or any octets."""
    if opcode == BINARY:
        return random.Random(size).randbytes(size)
    text = (TEXTS * (size // len(TEXTS) + 1))[:size].decode("utf-8", "ignore").encode()
    return text + b"*" * (size - len(text))


@dataclass(frozen=True)
class Large:
    """A case of section 9 or 10: so many messages of that size, in fragments or chops."""

    number: str
    opcode: int
    size: int
    fragment: int = 0
    chop: int = 0
    count: int = 1


def limits() -> list[Large]:
    cases = []
    for group, opcode in ((1, TEXT), (2, BINARY)):
        sizes = (64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB)
        cases += [Large(f"9.{group}.{i}", opcode, size) for i, size in enumerate(sizes, 1)]
        parts = [64 * 4**i for i in range(9)]
        cases += [Large(f"9.{group + 2}.{i}", opcode, 4 * MIB, fragment=part) for i, part in enumerate(parts, 1)]
        chops = [64 * 2**i for i in range(6)]
        cases += [Large(f"9.{group + 4}.{i}", opcode, MIB, chop=chop) for i, chop in enumerate(chops, 1)]
        small = (0, 16, 64, 256, 1024, 4096)
        cases += [Large(f"9.{group + 6}.{i}", opcode, size, count=1000) for i, size in enumerate(small, 1)]
    cases.append(Large("10.1.1", TEXT, 65536, fragment=1300))
    return cases


CASES = [*framing(), *pings(), *reserved(), *fragmentation(), *utf8(), *closing()]
LIMITS = limits()


# --- 12, 13: permessage-deflate --------------------------------------------------------------------------------------

#: (size of the messages, the suite's auto-fragment size or 0), by the last number of a case.
DEFLATE_SIZES = (
    *((size, 0) for size in (16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072)),
    *((size, 256) for size in (8192, 16384, 32768, 65536, 131072)),
    *((131072, fragment) for fragment in (1024, 4096, 32768)),
)


def deflate_count(size: int) -> int:
    """Return how many messages of a size are sent; the suite sends 1000 of each."""
    return min(200, max(3, 65536 // size))


@dataclass(frozen=True)
class Deflate:
    """A case of section 12 or 13.

    Attributes:
        data: the kind of data.
        offers: what the suite offers as a client, by (no context takeover, window bits or 0) that it asks of us.
        accepts: what it asks of us as a server, the first that our offer allows.
    """

    number: str
    data: str
    size: int
    fragment: int
    offers: tuple[tuple[bool, int], ...] = ((False, 0),)
    accepts: tuple[tuple[bool, int], ...] = ((False, 0),)


#: Section 13 by its second number. The first editions of the suite asked for 8 bits where later ones ask for 9.
PARAMETERS: tuple[tuple[tuple[bool, int], ...], ...] = (
    ((False, 0),),
    ((True, 0),),
    ((False, 9),),
    ((False, 15),),
    ((True, 9),),
    ((True, 15),),
    ((True, 9), (True, 0), (False, 0)),
)

#: Kinds of data by the second number of section 12, with whether they are sent as text.
DATA = {"json": True, "bitmap": False, "prose": False, "html": True, "pdf": False}


@cache
def corpus(kind: str) -> bytes:
    """Return data of the kind and size that the suite has: made up, always the same."""
    rng = random.Random(kind)
    words = ["".join(rng.choices("enisratdhulcgmobwfkzpv", k=rng.randrange(2, 11))) for _ in range(2000)]
    if kind == "bitmap":
        rows = (bytes((x * y // 700 + rng.randrange(12)) & 255 for x in range(512)) for y in range(512))
        return b"BM" + bytes(1076) + b"".join(rows)
    if kind == "pdf":
        streams = []
        for i in range(100):
            streams.append(b"%d 0 obj\n<< /Length 9900 >>\nstream\n%s\nendstream\nendobj\n" % (i, rng.randbytes(9900)))
        return b"%PDF-1.4\n" + b"".join(streams)
    size = {"json": 194056, "prose": 222218, "html": 263527}[kind]
    parts: list[str] = []
    length = 0
    while length < size:
        one, two, three = rng.choices(words, k=3)
        if kind == "json":
            part = f'{{"id": {len(parts)}, "name": "{one} {two}", "value": {rng.random()}, "tags": ["{three}"]}}, '
        elif kind == "html":
            part = f'<li class="{one}"><a href="/{two}/{len(parts)}">{three} {one}</a></li>\n'
        else:
            part = f"{one.title()} über {two}, {three}.\n"
        parts.append(part)
        length += len(part)
    return "".join(parts).encode()[:size]


def windows(data: bytes, size: int, count: int) -> Iterator[bytes]:
    """Yield pieces of data of that size, one behind the other, round and round."""
    at = 0
    for _ in range(count):
        piece = data[at : at + size]
        piece += data[: size - len(piece)]
        at = (at + size) % len(data)
        yield piece


def deflate() -> list[Deflate]:
    cases = []
    for group, kind in enumerate(DATA, 1):
        cases += [Deflate(f"12.{group}.{i}", kind, *sizes) for i, sizes in enumerate(DEFLATE_SIZES, 1)]
    for group, asked in enumerate(PARAMETERS, 1):
        cases += [Deflate(f"13.{group}.{i}", "json", *sizes, asked, asked) for i, sizes in enumerate(DEFLATE_SIZES, 1)]
    return cases


DEFLATE = deflate()
