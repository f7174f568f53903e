"""What arguments may look like; what they may not is said in one line."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any, NoReturn

__all__ = ["Parser", "count", "header", "port", "rate", "seconds", "seconds_or_none", "size"]

#: Bytes, by their unit's first letter; with ``i`` or without, as wrk and others have it.
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Parser(argparse.ArgumentParser):
    """One whose complaints are a single line."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help says more)\n")


def _wrong(sentence: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(sentence)


def seconds(text: str) -> float:
    """Return the seconds of a duration such as ``10``, ``1.5s``, ``250ms`` or ``2m``."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|)", text)
    if match is None or not float(match[1]):
        raise _wrong(f"a time is positive, such as 10, 1.5s, 250ms or 2m, not {text!r}")
    return float(match[1]) * _SECONDS[match[2]]


def seconds_or_none(text: str) -> float:
    """Return the seconds of a duration, which may be 0, or ``inf``."""
    if text == "inf":
        return math.inf
    return 0.0 if re.fullmatch(r"0+(\.0*)?", text) else seconds(text)


def size(text: str) -> int:
    """Return the bytes of a size such as ``32``, ``4k``, ``64KiB`` or ``1M``."""
    match = re.fullmatch(r"(\d+)(?:([kmg])(?:i?b)?|b)?", text.lower())
    if match is None:
        raise _wrong(f"a size is in bytes, such as 32, 4k or 1M, not {text!r}")
    return int(match[1]) * _BYTES[match[2] or ""]


def count(text: str) -> int:
    """Return a number of things, at least 1."""
    if not re.fullmatch(r"\d{1,9}", text) or not int(text):
        raise _wrong(f"a number of at least 1, not {text!r}")
    return int(text)


def rate(text: str) -> float:
    """Return a number per second, such as ``500`` or ``2.5``."""
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text) or not float(text):
        raise _wrong(f"messages per second, such as 500, not {text!r}")
    return float(text)


def port(text: str) -> int:
    """Return a port; 0 is for any that is free."""
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65535:
        raise _wrong(f"a port is a number up to 65535, not {text!r}")
    return int(text)


def header(text: str) -> tuple[str, str]:
    """Return name and value of a header as curl takes it."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise _wrong(f"a header is given as 'Name: value', not {text!r}")
    return name.strip(), value.strip()
