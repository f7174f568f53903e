"""What may be typed at the prompt: messages, and commands that begin with a slash."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["COMMANDS", "HELP", "Close", "Help", "Ping", "Send", "Typed", "Wrong", "parse"]

HELP = """\
/ping [TEXT]           send a ping, and say how long its answer took
/close [CODE [REASON]] close the connection (1000), and leave
/binary HEX            send bytes, such as /binary 00 ff 10
/binary @FILE          send a file as one binary message
/help                  this
//TEXT                 send /TEXT
Enter sends; Alt-Enter (or Esc, Enter) begins another line of the message.
Ctrl-D, or Ctrl-C where nothing is typed, closes the connection and leaves."""

COMMANDS = ("/ping", "/close", "/binary", "/help")


@dataclass(frozen=True)
class Send:
    """A message to send."""

    message: str | bytes


@dataclass(frozen=True)
class Ping:
    """A ping to send."""

    data: bytes


@dataclass(frozen=True)
class Close:
    """The end of it."""

    code: int
    reason: str


@dataclass(frozen=True)
class Help:
    """Somebody does not know."""


@dataclass(frozen=True)
class Wrong:
    """Nothing that can be done; the sentence says why."""

    sentence: str


Typed = Send | Ping | Close | Help | Wrong


def parse(text: str, binary: bool = False) -> Typed:
    """Return what is meant.

    Args:
        text: as typed.
        binary: whether messages go out as binary ones.
    """
    if not text.startswith("/") or text.startswith("//"):
        message = text[1:] if text.startswith("//") else text
        return Send(message.encode() if binary else message)
    command, _, rest = text.partition(" ")
    rest = rest.strip()
    if command == "/help" and not rest:
        return Help()
    if command == "/ping":
        data = rest.encode()
        return Ping(data) if len(data) <= 125 else Wrong("a ping carries 125 bytes at most")
    if command == "/binary":
        return _binary(rest)
    if command == "/close":
        return _close(rest)
    return Wrong(f"there is no command {command}; /help lists them")


def _binary(rest: str) -> Typed:
    if rest.startswith("@"):
        try:
            with open(os.path.expanduser(rest[1:]), "rb") as file:
                return Send(file.read())
        except OSError as error:
            return Wrong(f"{rest[1:]} cannot be read: {error.strerror}")
    try:
        return Send(bytes.fromhex(rest))
    except ValueError:
        return Wrong("/binary takes hexadecimal digits, two for each byte, or @ and the name of a file")


def _close(rest: str) -> Typed:
    code, _, reason = rest.partition(" ")
    if code and not (code.isascii() and code.isdigit()):
        return Wrong("/close takes a code, such as 1000, and then the reason")
    reason = reason.strip()
    if len(reason.encode()) > 123:
        return Wrong("a reason has 123 bytes at most")
    return Close(int(code or 1000), reason)
