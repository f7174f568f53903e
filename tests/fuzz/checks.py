"""What has to hold whatever a peer sends."""

from __future__ import annotations

import re
from typing import Any

from tests.support.driving import Seen, Session, split_head, unframe

__all__ = ["check_end", "check_output", "error_seen", "same", "seen"]

#: What a driver may report, and nothing else.
ERRORS = {"HandshakeError", "ProtocolError", "InvalidPayload", "MessageTooBig", "ExtensionError"}

#: The order of a connection's events: one error at the most, one close, and that is all.
ORDER = re.compile(r"(connect )?((open )(message |ping |pong )*)?(error )?(close )?")


def error_seen(error: Any) -> Seen:
    """Return what there is to compare of an error, whichever world it is of."""
    return (
        type(error).__name__,
        str(error),
        getattr(error, "code", None),
        getattr(error, "status", None),
        bytes(getattr(error, "body", b"")),
    )


def seen(session: Session) -> list[Seen]:
    """Return a session's events, errors as what there is to compare of them."""
    return [("error", *error_seen(event[1])) if event[0] == "error" else event for event in session.events]


def same(one: object, other: object, what: str) -> None:
    """Compare two results that must be the same."""
    assert one == other, f"{what}:\n  {one!r}\n  {other!r}"


def check_events(session: Session, opened: bool = False) -> None:
    """The events come in their order, and only errors that are documented are reported."""
    names = "".join(f"{name} " for name in (["open"] * opened + session.names))
    assert ORDER.fullmatch(names), f"events in disorder: {names}"
    assert ("close " in names) is (session.driver.state == "closed"), f"{session.driver.state} after {names}"
    for event in session.events:
        if event[0] == "error":
            assert type(event[1]).__name__ in ERRORS, f"an undocumented error: {event[1]!r}"


def check_end(session: Session, opened: bool = False) -> None:
    """One close at the most while bytes come, exactly one after their end; then nothing happens any more.

    Args:
        opened: whether the session was open before it was recorded.
    """
    check_events(session, opened)
    driver = session.driver
    driver.eof()
    check_events(session, opened)
    assert len(session.closes) == 1, "no close at the end"
    events, sent = len(session.events), len(session.wire.sent)
    driver.parse(b"\x81\x00\x89\x00GET / HTTP/1.1\r\n\r\n")
    driver.eof()
    assert not any((driver.text("late"), driver.binary(b"late"), driver.ping(), driver.pong(), driver.start()))
    driver.close()
    assert (events, sent) == (len(session.events), len(session.wire.sent)), "something happened after the close"


def check_output(sent: bytes, *, masked: bool) -> list[tuple[int, bytes]]:
    """What goes out is whole frames, a close frame at the end only. Returns them."""
    frames = unframe(sent, masked=masked)
    assert all(first != 0x88 for first, _ in frames[:-1]), "something was said after a close frame"
    return frames


def check_answer(sent: bytes) -> bytes:
    """A server's answer is one right head, and what is behind it either frames or a body of the size that it says."""
    head, rest = split_head(sent)
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    assert re.fullmatch(r"HTTP/1\.1 (101|4\d\d|5\d\d) [A-Za-z .-]+", first), f"the answer begins with {first!r}"
    names = [line.partition(": ")[0].lower() for line in lines]
    assert all(re.fullmatch(r"[!-~]+: [^\x00-\x08\x0a-\x1f\x7f]*", line) for line in lines), lines
    assert len(set(names)) == len(names), f"a header came twice: {names}"
    if not first.startswith("HTTP/1.1 101 "):
        sizes = [line.partition(": ")[2] for line in lines if line.lower().startswith("content-length: ")]
        assert rest == b"" or sizes == [str(len(rest))], "the body is not as long as it says"
    return rest
