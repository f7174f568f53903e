"""The same bytes into Ruby's `websocket-driver` and into ours: what they make of them is the same, or is listed here.

Streams are sessions made by the book, then broken (bytes changed, cut, copied; frames with wrong heads), and random
bytes; the seeds are fixed. Two outcomes are alike when they have the same messages, the same pongs, and the same close
code and reason. A first difference has to be of a kind in ``DIFFERENCES``, which says why the two differ; every kind
has to occur, so that none stays there for nothing. What follows a first difference is not compared.

Heads of requests are right here: that ours are judged more strictly is shown elsewhere. Also left out: websocket-driver
loses frames that come in the same chunk as the head, except in hixie-76.
"""

from __future__ import annotations

import json
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from gevent.subprocess import PIPE, Popen

from tests.support.driving import new_server, unframe
from tests.support.net import MASK, frame, request
from tests.support.peers import need_ruby
from wsdriver.exceptions import InvalidPayload

CASES = 1500  # of each version
LIMIT = 400  # bytes of a message

ORACLE = Path(__file__).with_name("peers") / "driver_oracle.rb"


# --- what came of it ------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a driver made of a stream.

    Attributes:
        messages: str, bytes, or None for a text that was handed on though it was not UTF-8.
        end: close code and reason; None where the connection is open still.
        error: what was reported as an error.
        answers: in hybi, the pongs; in hixie, all that was written behind the head of the response.
        raised: what came out of ``parse``, which never should.
    """

    messages: list[str | bytes | None] = field(default_factory=list)
    end: tuple[int, str] | None = None
    error: str = ""
    encoding: bool = False
    answers: list[bytes] = field(default_factory=list)
    raised: str | None = None

    @property
    def code(self) -> int | None:
        return None if self.end is None else self.end[0]


@dataclass
class Case:
    """A stream: the request, and what follows it in chunks."""

    version: str
    head: bytes
    chunks: list[bytes]

    @property
    def stream(self) -> bytes:
        """What is behind the handshake."""
        data = b"".join(self.chunks)
        if self.version == "hixie-76":
            data = (self.head.partition(b"\r\n\r\n")[2] + data)[8:]
        return data


class Oracle:
    """The Ruby process."""

    def __init__(self, ruby: str) -> None:
        self._process = Popen([ruby, str(ORACLE)], stdin=PIPE, stdout=PIPE)

    def ask(self, case: Case) -> Outcome:
        parts = [case.head, *case.chunks]
        question = struct.pack("!II", LIMIT, len(parts))
        self._process.stdin.write(question + b"".join(struct.pack("!I", len(part)) + part for part in parts))
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the Ruby process has ended"
        answer: dict[str, Any] = json.loads(line)
        assert answer["version"] == case.version
        outcome = Outcome(raised=answer["raised"])
        for name, *details in answer["events"]:
            if name == "text":
                outcome.messages.append(None if details[0] is None else bytes.fromhex(details[0]).decode())
            elif name == "binary":
                outcome.messages.append(bytes.fromhex(details[0]))
            elif name == "error":
                outcome.error = details[0]
            elif name == "close":
                assert outcome.end is None, "closed twice"
                # hixie has no codes: null there is 1005 in ours.
                outcome.end = (details[0] or 1005, bytes.fromhex(details[1]).decode("utf-8", "replace"))
        outcome.answers = answers(case.version, bytes.fromhex(answer["written"]))
        return outcome

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def ask_ours(case: Case) -> Outcome:
    session = new_server(max_length=LIMIT)
    session.driver.on("connect", lambda event: session.driver.start())
    session.parse(case.head, *case.chunks)
    assert session.driver.version == case.version
    outcome = Outcome(messages=list(session.messages), answers=answers(case.version, session.wire.sent))
    for event in session.events:
        if event[0] == "error":
            outcome.error = str(event[1])
            outcome.encoding = isinstance(event[1], InvalidPayload)
        elif event[0] == "close":
            assert outcome.end is None, "closed twice"
            outcome.end = event[1:3]
    return outcome


def answers(version: str, written: bytes) -> list[bytes]:
    rest = written.partition(b"\r\n\r\n")[2]
    if version != "hybi-13":
        return [rest]
    return [payload for first, payload in unframe(rest, masked=False) if first == 0x8A]


def alike(case: Case, ours: Outcome, theirs: Outcome) -> bool:
    """Tell whether the outcomes are the same; the sentence of an error is each one's own."""
    assert ours.raised is None
    if theirs.raised or ours.messages != theirs.messages or ours.answers != theirs.answers or ours.code != theirs.code:
        return False
    return bool(ours.error or theirs.error or theirs.code == 1002 or ours.end == theirs.end)


# --- reading streams, by the book and without judging ---------------------------------------------------------------


@dataclass
class Frame:
    """A frame, or as much of it as is there.

    Attributes:
        masked, form: in hybi, the two parts of the second byte.
        length: as declared; -1 where it is not.
        width: in hixie, bytes of the length.
        padded: in hixie, whether the length begins with a zero.
    """

    first: int
    payload: bytes
    masked: bool = False
    form: int = 0
    length: int = -1
    width: int = 0
    padded: bool = False

    @property
    def opcode(self) -> int:
        return self.first & 15


def hybi_frames(data: bytes) -> Iterator[Frame]:
    while len(data) >= 2:
        first, second = data[0], data[1]
        form, at = second & 0x7F, 2
        length = form
        if form > 125:
            at += 2 if form == 126 else 8
            if len(data) < at:
                yield Frame(first, b"", bool(second & 0x80), form)
                return
            length = int.from_bytes(data[2:at], "big")
        masked = bool(second & 0x80)
        key = data[at : at + 4] if masked else b"\0\0\0\0"
        at += 4 if masked else 0
        payload = bytes(byte ^ key[i % 4] for i, byte in enumerate(data[at : at + length]))
        yield Frame(first, payload, masked, form, length)
        data = data[at + length :]


def hixie_frames(data: bytes) -> Iterator[Frame]:
    while data:
        first, at = data[0], 1
        if first < 0x80:
            payload, _, data = data[1:].partition(b"\xff")
            yield Frame(first, payload)
            continue
        length = 0
        while at < len(data):
            byte = data[at]
            at += 1
            length = length << 7 | byte & 0x7F
            if byte < 0x80:
                break
        yield Frame(first, data[at : at + length], length=length, width=at - 1, padded=data[1:2] == b"\x80")
        data = data[at + length :]


# --- why they may differ --------------------------------------------------------------------------------------------

Reason = Callable[[list[Frame], Outcome, Outcome], bool]


def begins(ours: list[Any], theirs: list[Any]) -> bool:
    return theirs[: len(ours)] == ours


def failed(ours: Outcome, theirs: Outcome, sentence: str, code: int = 1002) -> bool:
    """Tell whether ours ended with that error, and theirs has all of the messages that ours had until then."""
    return (
        sentence in ours.error
        and ours.code == code
        and begins(ours.messages, theirs.messages)
        and begins(ours.answers, theirs.answers)
    )


def same_until_end(ours: Outcome, theirs: Outcome) -> bool:
    return ours.messages == theirs.messages and ours.answers == theirs.answers


def reads_on(ours: Outcome, theirs: Outcome) -> bool:
    """Tell whether ours has all of the messages that theirs had until it ended."""
    return begins(theirs.messages, ours.messages) and begins(theirs.answers, ours.answers)


def unlike(ours: Outcome, theirs: Outcome) -> list[str | bytes | None]:
    """Return the messages of theirs from the first on that differs."""
    index = 0
    while index < len(ours.messages) and ours.messages[: index + 1] == theirs.messages[: index + 1]:
        index += 1
    return theirs.messages[index:]


def unmasked(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    return failed(ours, theirs, "is not masked") and same_until_end(ours, theirs) and theirs.code == 1003


def unmasked_and_too_big(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    return failed(ours, theirs, "is not masked") and same_until_end(ours, theirs) and theirs.code == 1009


def utf8_at_once(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    """Theirs may take pings, or fail for another thing, before it looks at the text; it gets no message of it."""
    return ours.encoding and failed(ours, theirs, "a text", 1007) and ours.messages == theirs.messages


def control_length(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    wrong = any(frame.opcode >= 8 and frame.form > 125 for frame in frames)
    return wrong and failed(ours, theirs, "more than 125 bytes")


def long_form(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    wrong = any(
        (frame.form == 126 and frame.length < 126)
        or (frame.form == 127 and (frame.length < 65536 or frame.length >> 63))
        for frame in frames
    )
    return wrong and failed(ours, theirs, "shortest form")


def stray_continuation(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    return (
        failed(ours, theirs, "no message to continue") and same_until_end(ours, theirs) and theirs.code in (None, 1009)
    )


def close_without_code(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    empty = any(frame.first == 0x88 and not frame.length for frame in frames)
    return empty and same_until_end(ours, theirs) and (ours.end, theirs.end) == ((1005, ""), (1000, ""))


def later_codes(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    return same_until_end(ours, theirs) and ours.code in (1012, 1013, 1014) and theirs.code == 1002


def close_reason(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    return failed(ours, theirs, "reason", 1007) and same_until_end(ours, theirs) and theirs.code == 1002


def control_in_big_message(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    control = any(frame.opcode >= 8 for frame in frames)
    return control and theirs.code == 1009 and ours.code != 1009 and reads_on(ours, theirs)


def part_of_head(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    whole = bool(frames) and frames[-1].length >= 0 and len(frames[-1].payload) < frames[-1].length
    return not whole and same_until_end(ours, theirs) and ours.code is None and theirs.code in (1002, 1003)


def types(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    dropped = [frame.payload.decode("utf-8", "replace") for frame in frames if 0 < frame.first < 0x80]
    more = unlike(ours, theirs)
    if not more:
        return False
    return more[0] in dropped or (more[0] is None and any("\ufffd" in text for text in dropped))


def type_too_big(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    wrong = any(0 < frame.first < 0x80 and len(frame.payload) > LIMIT for frame in frames)
    return wrong and theirs.code == 1005 and begins(theirs.messages, ours.messages)


def hixie_utf8(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    return ours.encoding and ours.code == 1007 and begins(ours.messages, theirs.messages)


def hixie_too_big(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    return same_until_end(ours, theirs) and "longer than the limit" in ours.error and theirs.end == (1005, "")


def hixie_length(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    wrong = any(frame.length > LIMIT for frame in frames)
    return wrong and "over the limit" in ours.error and ours.code == 1009 and begins(ours.messages, theirs.messages)


def hixie_endless(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    wrong = any(frame.width >= 10 for frame in frames)
    return (
        wrong and "length has more than" in ours.error and ours.code == 1002 and begins(ours.messages, theirs.messages)
    )


def ff_in_dropped(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    """What theirs hands on is what its buffer holds: the text before, or nil, which raises; then it is out of step."""
    wrong = any(frame.length > 0 and b"\xff" in frame.payload for frame in frames)
    texts = theirs.messages
    return wrong and (theirs.raised is not None or any(a == b for a, b in pairwise(texts)))


def closing_sticks(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    marked = [i for i, frame in enumerate(frames) if frame.first == 0xFF and frame.length > 0]
    zero = [i for i, frame in enumerate(frames) if frame.first >= 0x80 and (frame.length == 0 or frame.width > 1)]
    sticks = bool(marked and zero and marked[0] < zero[-1])
    return sticks and theirs.code == 1005 and begins(theirs.messages, ours.messages)


def zero_first(frames: list[Frame], ours: Outcome, theirs: Outcome) -> bool:
    wrong = any(frame.first == 0xFF and frame.padded for frame in frames)
    return wrong and theirs.code == 1005 and begins(theirs.messages, ours.messages)


HYBI = "hybi-13"
HIXIE = "hixie-75 hixie-76"

#: In which versions, what it is, why we differ, and how it is known.
DIFFERENCES: list[tuple[str, str, str, Reason]] = [
    (HYBI, "not masked", "a protocol error, RFC 6455 §5.1 and §7.4.1: 1002; theirs says 1003", unmasked),
    (
        HYBI,
        "not masked and too big",
        "the mask bit is judged before the length; theirs says 1009",
        unmasked_and_too_big,
    ),
    (HYBI, "bad UTF-8", "ours fails at the first bad byte (§8.1); theirs at the message's end", utf8_at_once),
    (HYBI, "long control frame", "§5.5: at most 125 bytes, so in 7 bits; theirs reads on", control_length),
    (HYBI, "length not in its shortest form", "§5.2 forbids it; theirs takes it", long_form),
    (HYBI, "stray continuation", "ours fails at its head, theirs at its end", stray_continuation),
    (HYBI, "close without a code", "§7.1.5 has 1005 for it; theirs tells of 1000, and sends it", close_without_code),
    (HYBI, "close with 1012 to 1014", "registered by IANA after the RFC; theirs knows none of them", later_codes),
    (HYBI, "close reason not UTF-8", "§8.1 has 1007; theirs says 1002", close_reason),
    (HYBI, "control frame in a big message", "theirs adds it to the message's size: 1009", control_in_big_message),
    (HYBI, "part of a head", "ours judges a head when it has all of it, the length too; theirs sooner", part_of_head),
    (HIXIE, "types 01 to 7F", "the drafts drop these frames; theirs takes them for text", types),
    (HIXIE, "types 01 to 7F, too big", "dropped, so never too big; theirs keeps and counts them", type_too_big),
    (HIXIE, "bad UTF-8", "ours fails with 1007; theirs hands on nil and goes on", hixie_utf8),
    (HIXIE, "text too big", "ours tells of 1009 as in hybi; theirs only closes", hixie_too_big),
    (HIXIE, "length too big", "CVE-2026-54463: theirs reads and skips without a limit", hixie_length),
    (HIXIE, "endless length", "CVE-2026-54463: theirs reads 80 80 80 for ever", hixie_endless),
    (HIXIE, "FF among dropped bytes", "theirs takes it for the end of a text that never began", ff_in_dropped),
    ("hixie-76", "FF with a length", "theirs then takes any later length of 0 for FF 00", closing_sticks),
    ("hixie-76", "FF 80", "theirs ends at the first zero byte of a length, before it is whole", zero_first),
]


def explain(case: Case, ours: Outcome, theirs: Outcome) -> str | None:
    frames = list((hybi_frames if case.version == HYBI else hixie_frames)(case.stream))
    for versions, name, _, reason in DIFFERENCES:
        if case.version in versions.split() and reason(frames, ours, theirs):
            return name
    return None


# --- making streams -------------------------------------------------------------------------------------------------

WORDS = ["", "a", "Hello", "größer", "日本語", "😀" * 8, "x" * 125, "y" * 126, "z" * 300, "\0\x7f\x80\uffff"]
CODES = [
    0,
    999,
    1000,
    1001,
    1003,
    1004,
    1005,
    1006,
    1007,
    1011,
    1012,
    1013,
    1014,
    1012,
    1014,
    1015,
    2999,
    3000,
    4999,
    5000,
    65535,
]
BAD_TEXTS = [b"\xc3\x28", b"\xed\xa0\x80", b"ok\xf4\x90\x80\x80", b"\xc0\xaf", b"cut\xe2\x82", b"\x80", b"\xff"]


def hybi_message(rng: random.Random) -> list[bytes]:
    text = rng.random() < 0.6
    size = rng.choice((0, 1, 7, 125, 126, 200))
    payload = rng.choice(WORDS).encode() if text else rng.randbytes(size)
    cuts = sorted(rng.randrange(len(payload) + 1) for _ in range(rng.choice((0, 0, 1, 2, 4))))
    parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    frames = []
    for i, part in enumerate(parts):
        opcode = 0 if i else 1 if text else 2
        frames.append(frame(opcode, part, fin=i == len(parts) - 1, mask=rng.randbytes(4)))
        if rng.random() < 0.15:
            frames.append(frame(rng.choice((9, 10)), rng.randbytes(rng.choice((0, 4, 125))), mask=rng.randbytes(4)))
    return frames


def hybi_wrong(rng: random.Random) -> bytes:
    """Return a frame with something about it."""
    data = rng.choice(WORDS[:6]).encode()
    kind = rng.randrange(11)
    if kind == 0:
        return frame(rng.choice((1, 2, 9)), data, mask=None)
    if kind == 10:
        return frame(2, b"q" * 390, fin=False) + frame(0, b"q" * rng.choice((10, 11)), mask=None)
    if kind == 1:
        return frame(rng.randrange(16), data, rsv=rng.choice((0, 0x10, 0x20, 0x40, 0x70)), fin=rng.random() < 0.5)
    if kind == 2:
        return frame(rng.choice((8, 9, 10)), rng.randbytes(rng.choice((1, 125, 126, 200))))
    if kind == 3:
        return frame(rng.choice((0, 1)), rng.choice(BAD_TEXTS), fin=rng.random() < 0.5)
    if kind == 4:
        return frame(
            8, struct.pack("!H", rng.choice(CODES)) + rng.choice([b"", b"bye"] if rng.random() < 0.6 else BAD_TEXTS)
        )
    if kind == 5:
        return frame(8, b"x" * rng.randrange(2))
    if kind == 6:
        return frame(rng.choice((1, 2)), b"q" * rng.choice((LIMIT - 1, LIMIT, LIMIT + 1)))
    if kind == 7:
        return frame(2, b"q" * 390, fin=False) + frame(9, b"p" * rng.choice((5, 50))) + frame(0, b"q" * 10)
    size = len(data) if kind == 8 else rng.choice((0, LIMIT + 1, 2**16, 2**31, 2**63, 2**64 - 1))
    length = struct.pack("!BH", 0xFE, size) if size < 65536 and rng.random() < 0.5 else struct.pack("!BQ", 0xFF, size)
    masked = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(data))
    return bytes([rng.choice((0x81, 0x82, 0x89))]) + length + MASK + masked


def hybi_close(rng: random.Random) -> bytes:
    code, reason = rng.choice((1000, 1001, 1011, 3000, 4999)), rng.choice(WORDS[:7])
    return frame(8, struct.pack("!H", code) + reason.encode()[:123] if rng.random() < 0.8 else b"")


def varint(value: int, padding: int = 0) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return b"\x80" * padding + bytes(reversed(digits))


def hixie_text(rng: random.Random) -> list[bytes]:
    return [b"\x00" + rng.choice(WORDS).encode() + b"\xff"]


def hixie_wrong(rng: random.Random) -> bytes:
    kind = rng.randrange(9)
    data = rng.choice(WORDS[:6]).encode()
    if kind == 0:
        return bytes([rng.randrange(1, 0x80)]) + data + b"\xff"
    if kind == 1:
        return b"\x00" + rng.choice(BAD_TEXTS[:-1]) + b"\xff"
    if kind == 2:
        return bytes([rng.randrange(0x80, 0x100)]) + varint(len(data)) + data
    if kind == 3:
        return (
            bytes([rng.choice((0xFF, rng.randrange(0x80, 0x100)))])
            + varint(len(data), rng.choice((1, 5, 9, 12)))
            + data
        )
    if kind == 4:
        return bytes([rng.randrange(0x80, 0x100)]) + varint(rng.choice((0, LIMIT, LIMIT + 1, 2**32))) + data * 9
    if kind == 5:
        return (
            bytes([rng.choice((0, 0, rng.randrange(0x80)))])
            + b"q" * rng.choice((LIMIT - 1, LIMIT, LIMIT + 1))
            + b"\xff"
        )
    if kind == 6:
        return b"\xff\x00"
    if kind == 7:
        return b"\xff" + varint(len(data)) + data + b"\x80\x00"
    data = rng.randbytes(20)
    return b"\x80" + varint(len(data)) + data


def hixie_close(rng: random.Random) -> bytes:
    return b"\xff\x00"


def noise(rng: random.Random, version: str) -> bytes:
    """Return random bytes; the first of a frame is a likely one more often than not."""
    likely = b"\x00\x00\x80\xff\x81" if version != HYBI else b"\x81\x82\x01\x02\x00\x80\x88\x89\x8a"
    first = bytes([rng.choice(likely)]) if rng.random() < 0.7 else b""
    second = bytes([0x80 | rng.randrange(40)]) if version == HYBI and rng.random() < 0.7 else b""
    return first + second + rng.randbytes(rng.randrange(60))


def mutated(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = rng.choice((0, 0x7F, 0x80, 0x81, 0xFE, 0xFF, rng.randrange(256)))
        elif kind == 2:
            del changed[at : at + rng.randrange(1, 9)]
        elif kind == 3:
            changed[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 4:
            changed[at:at] = changed[at : at + rng.randrange(1, 40)]
        else:
            del changed[at:]
    return bytes(changed)


def make_stream(rng: random.Random, version: str) -> bytes:
    if rng.random() < 0.1:
        return noise(rng, version)
    message, wrong, close = (
        (hybi_message, hybi_wrong, hybi_close) if version == HYBI else (hixie_text, hixie_wrong, hixie_close)
    )
    frames = [data for _ in range(rng.randrange(5)) for data in message(rng)]
    if rng.random() < 0.4:
        frames.insert(rng.randrange(len(frames) + 1), wrong(rng))
    if rng.random() < 0.4:
        frames.append(close(rng))
    if rng.random() < 0.2:
        frames += message(rng)  # behind the close
    if rng.random() < 0.2:
        rng.shuffle(frames)
    stream = b"".join(frames)
    return mutated(rng, stream) if rng.random() < 0.4 else stream


def chunked(rng: random.Random, data: bytes) -> list[bytes]:
    kind = rng.randrange(3)
    if kind == 0:
        return [data]
    if kind == 1:
        return [data[i : i + 1] for i in range(len(data))]
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def challenge_key(rng: random.Random) -> str:
    """Return a right Sec-WebSocket-Key1 or -Key2 (draft-hixie-thewebsocketprotocol-76 §1.3)."""
    spaces = rng.randrange(1, 13)
    key = list(str(rng.randrange(2**32 // spaces) * spaces))
    for _ in range(rng.randrange(1, 13)):
        key.insert(rng.randrange(len(key) + 1), rng.choice("!#$%&Az~[]"))
    for _ in range(spaces):
        key.insert(rng.randrange(1, len(key)) if len(key) > 1 else 1, " ")
    # Neither end may be a space, which the header would lose.
    return f"x{''.join(key)}y"


def make_case(version: str, seed: int) -> Case:
    rng = random.Random(f"{version} {seed}")
    stream = make_stream(rng, version)
    if version == HYBI:
        return Case(version, request(), chunked(rng, stream))
    lines = ["GET /?a=b HTTP/1.1", "Host: localhost", "Upgrade: WebSocket", "Connection: Upgrade", "Origin: http://a"]
    if version == "hixie-75":
        return Case(version, "\r\n".join([*lines, "\r\n"]).encode(), chunked(rng, stream))
    lines += [f"Sec-WebSocket-Key{i}: {challenge_key(rng)}" for i in (1, 2)]
    head, behind = "\r\n".join([*lines, "\r\n"]).encode(), rng.randbytes(8) + stream
    early = rng.choice((0, 3, 8, len(behind)))
    return Case(version, head + behind[:early], chunked(rng, behind[early:]))


# --- the tests ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with ExitStack() as stack:
        process = Oracle(need_ruby("websocket/driver"))
        stack.callback(process.stop)
        yield process


@pytest.mark.parametrize("version", ["hixie-75", "hixie-76", "hybi-13"])
def test_websocket_driver_for_ruby_makes_the_same_of_the_same_bytes(oracle: Oracle, version: str) -> None:
    kinds: Counter[str] = Counter()
    unexplained = []
    for seed in range(CASES):
        case = make_case(version, seed)
        ours, theirs = ask_ours(case), oracle.ask(case)
        if alike(case, ours, theirs):
            kinds["alike"] += 1
            kinds["alike, messages"] += len(ours.messages)
            kinds["alike, closed"] += ours.end is not None
            continue
        kind = explain(case, ours, theirs)
        if kind is None:
            unexplained.append(f"seed {seed}: {case.stream.hex(' ')}\n  ours   {ours}\n  theirs {theirs}")
        else:
            kinds[kind] += 1
    print(version, dict(kinds))
    assert not unexplained, f"{len(unexplained)} differences without a reason\n" + "\n".join(unexplained[:5])
    assert kinds["alike"] > CASES / 2, "little was compared to the end"
    assert kinds["alike, messages"] > CASES / 2
    assert kinds["alike, closed"] > CASES / 10 or version == "hixie-75"  # which has no closing frame
    listed = [name for versions, name, _, _ in DIFFERENCES if version in versions.split()]
    assert [name for name in listed if not kinds[name]] == [], "listed, and never seen"
