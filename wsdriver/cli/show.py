"""How messages look: in colours, laid out where they are JSON, and unable to move the terminal's cursor."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TextIO

from wsdriver.codes import CloseCode
from wsdriver.green.client.connecting import ClientWebSocket

__all__ = ["Show", "ending", "wants_colours"]

#: SGR codes, by what they are for.
_COLOURS = {
    "out": "1;36",
    "in": "32",
    "binary": "35",
    "note": "90",
    "error": "31",
    "key": "34",
    "string": "32",
    "number": "36",
    "word": "33",
}

#: Tokens of JSON that was laid out by us.
_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+-]*)'
    r"|(?P<word>true|false|null|NaN|-?Infinity)"
)

#: C0, DEL and C1: what a terminal obeys; but tabs and line ends.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

#: Bytes of a binary message that a terminal shows.
MAX_HEX = 256


def wants_colours(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether colours are wanted: on a terminal that has them, unless NO_COLOR says otherwise."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class Show:
    """Turns messages into text.

    Args:
        colours: whether to use them.
        terminal: whether a terminal shows it, so that control characters are made visible.
        pretty: whether messages that are JSON are laid out.
    """

    def __init__(self, *, colours: bool, terminal: bool, pretty: bool) -> None:
        self._colours = colours
        self._terminal = terminal
        self._pretty = pretty

    def paint(self, kind: str, text: str) -> str:
        """Return a text in the colour of its kind."""
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if self._colours and text else text

    def message(self, message: str | bytes) -> str:
        """Return a message for people: binary ones as hexadecimal digits."""
        if isinstance(message, bytes):
            shown = message[:MAX_HEX].hex(" ")
            more = " ..." if len(message) > MAX_HEX else ""
            return self.paint("binary", f"binary, {len(message)} bytes: {shown}{more}")
        laid_out = self._laid_out(message) if self._pretty else None
        if laid_out is not None:
            return laid_out
        return self.paint("in", self._harmless(message))

    def raw(self, message: str | bytes) -> bytes:
        """Return a message for a program: its bytes, or its JSON laid out."""
        if isinstance(message, bytes):
            return message
        laid_out = self._laid_out(message) if self._pretty else None
        return (message if laid_out is None else laid_out).encode("utf-8", "surrogatepass")

    def typed(self, text: str) -> str:
        """Return what the user has sent, as it was at the prompt."""
        first, *others = self._harmless(text).split("\n")
        return "\n".join(
            [f"{self.paint('out', '>')} {first}", *(f"{self.paint('out', '…')} {line}" for line in others)]
        )

    def note(self, text: str) -> str:
        """Return a remark of ours."""
        return self.paint("note", self._harmless(text))

    def error(self, text: str) -> str:
        """Return what went wrong."""
        return self.paint("error", self._harmless(text))

    def _harmless(self, text: str) -> str:
        """Make control characters visible: a server must not get hold of the terminal."""
        if not self._terminal:
            return text
        return _CONTROL.sub(_visible, text)

    def _laid_out(self, message: str) -> str | None:
        """Return JSON with indentation, and in colours; None where the message is none."""
        try:
            value = json.loads(message)
        except (ValueError, RecursionError):
            return None
        text = self._harmless(json.dumps(value, indent=2, ensure_ascii=False))
        if not self._colours:
            return text
        return _TOKEN.sub(lambda match: self.paint(match.lastgroup or "", match[0]), text)


def _visible(match: re.Match[str]) -> str:
    number = ord(match[0])
    # Those of ASCII have pictures of their own in Unicode.
    return chr(0x2400 + number) if number < 32 else "␡" if number == 127 else f"\\x{number:02x}"


def ending(ws: ClientWebSocket) -> tuple[str, bool]:
    """Return a sentence that says how a connection ended, and whether that was well."""
    code = ws.close_code or 1006
    try:
        name = CloseCode(code).name.replace("_", " ").lower()
    except ValueError:
        name = ""
    reason = f": {ws.close_reason}" if ws.close_reason else ""
    error = "" if ws.close_error is None or ws.was_clean else f" ({ws.close_error})"
    well = ws.was_clean and code in (1000, 1001, 1005)
    return f"closed with {code}{f' ({name})' if name else ''}{reason}{error}", well
