"""The header Sec-WebSocket-Extensions (RFC 6455 §9.1)::

    header    = [ extension *( "," extension ) ]              empty members are skipped (RFC 9110 §5.6.1)
    extension = token *( ";" token [ "=" ( token / quoted ) ] )
    quoted    = DQUOTE *( char / "\\" char ) DQUOTE

Read from left to right, each character once: there is no pattern that could backtrack (CVE-2020-7662). The regular
expressions below are single character classes, to take a run of characters at a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from wsdriver.exceptions import ExtensionError
from wsdriver.options import TOKEN

__all__ = ["MAX_OFFERS", "MAX_PARAMS", "Params", "ReadParams", "ReadValue", "Value", "parse", "serialize"]

#: Extensions in one header; and parameters of one extension, unless the options say otherwise.
MAX_OFFERS = 64
MAX_PARAMS = 64

#: Parameters to be sent: True for one without a value, a str or an int; a sequence of these to repeat it.
Value: TypeAlias = "str | int"
Params: TypeAlias = "Mapping[str, Value | Sequence[Value]]"
#: Parameters that were received: True, or a str as it was written; a list of these for one that was repeated.
ReadValue: TypeAlias = "str | Literal[True]"
ReadParams: TypeAlias = "dict[str, ReadValue | list[ReadValue]]"

_TOKEN = re.compile(f"[{re.escape(''.join(sorted(TOKEN)))}]*")
_SPACE = re.compile("[ \t]*")
_BETWEEN = re.compile("[ \t,]*")
_PLAIN = re.compile('[^"\\\\\0-\x08\x0a-\x1f\x7f\u0100-\U0010ffff]*')  # inside quotes


def parse(header: str, max_params: int = MAX_PARAMS) -> list[tuple[str, ReadParams]]:
    """Return the extensions that a header names, in order, each with its parameters.

    A parameter without a value is True; any other value is a str as it was written, its quotes and escapes removed:
    ``a; b; c=08; d="x y", a; e=1; e`` gives
    ``[("a", {"b": True, "c": "08", "d": "x y"}), ("a", {"e": ["1", True]})]``.

    Deviation: a quoted value need not be a token inside its quotes, as in websocket-extensions.

    Args:
        header: its value.
        max_params: parameters that each of them may have.

    Raises:
        ExtensionError: the header is malformed, or names too much.
    """
    result: list[tuple[str, ReadParams]] = []
    at = _skip(_BETWEEN, header, 0)
    while at < len(header):
        if len(result) == MAX_OFFERS:
            raise ExtensionError(f"Sec-WebSocket-Extensions names more than {MAX_OFFERS} extensions")
        name, at = _token(header, at, "the name of an extension")
        params: ReadParams = {}
        count = 0
        at = _skip(_SPACE, header, at)
        while header.startswith(";", at):
            count += 1
            if count > max_params:
                raise ExtensionError(
                    f"Sec-WebSocket-Extensions gives {name[:40]} more than {max_params} parameters"
                    " (max_extension_parameters)"
                )
            key, at = _token(header, _skip(_SPACE, header, at + 1), "the name of a parameter")
            value: ReadValue = True
            if header.startswith('="', at):
                value, at = _quoted(header, at + 2)
            elif header.startswith("=", at):
                value, at = _token(header, at + 1, "the value of a parameter")
            if key in params:
                known = params[key]
                params[key] = [*known, value] if isinstance(known, list) else [known, value]
            else:
                params[key] = value
            at = _skip(_SPACE, header, at)
        if at < len(header) and header[at] != ",":
            raise _malformed(header, at, "',' or ';'")
        result.append((name, params))
        at = _skip(_BETWEEN, header, at)
    return result


def _skip(run: re.Pattern[str], header: str, at: int) -> int:
    match = run.match(header, at)
    assert match is not None  # it may be empty
    return match.end()


def _token(header: str, at: int, what: str) -> tuple[str, int]:
    end = _skip(_TOKEN, header, at)
    if end == at:
        raise _malformed(header, at, what)
    return header[at:end], end


def _quoted(header: str, at: int) -> tuple[str, int]:
    parts = []
    while True:
        end = _skip(_PLAIN, header, at)
        parts.append(header[at:end])
        at = end + 1
        if header.startswith('"', end):
            return "".join(parts), at
        if not header.startswith("\\", end):
            raise _malformed(header, end, "the rest of a quoted value")
        # Escaped: these two as they are, any other as the begin of the next run.
        if header.startswith(('"', "\\"), at):
            parts.append(header[at])
            at += 1


def _is_text(value: str) -> bool:
    """Whether a quoted value may hold these characters, those that need an escape included."""
    return all(char in '"\\' or _PLAIN.fullmatch(char) for char in value)


def _malformed(header: str, at: int, expected: str) -> ExtensionError:
    found = repr(header[at : at + 20]) if at < len(header) else "its end"
    return ExtensionError(f"Sec-WebSocket-Extensions is malformed: at {at}, {expected} is missing before {found}")


def serialize(name: str, params: Params) -> str:
    """Return an extension and its parameters as they stand in the header; values are quoted where they need it.

    Args:
        name: of the extension, a token.
        params: by name. True for one without a value, an int or a str for one with, a sequence of these to repeat it.

    Raises:
        ExtensionError: a name is no token, or a value is of another type or has characters that no header can carry.
    """
    if not _is_token(name):
        raise ExtensionError(f"the name of an extension must be a token, not {name!r}")
    parts = [name]
    for key, value in params.items():
        if not _is_token(key):
            raise ExtensionError(f"{name}: the name of a parameter must be a token, not {key!r}")
        for one in value if isinstance(value, (list, tuple)) else (value,):
            parts.append(key if one is True else f"{key}={_serialize_value(name, key, one)}")
    return "; ".join(parts)


def _is_token(value: object) -> bool:
    return isinstance(value, str) and value != "" and TOKEN.issuperset(value)


def _serialize_value(name: str, key: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not _is_text(value):
        raise ExtensionError(f"{name}: the parameter {key} must be True, an int or a str of latin-1, not {value!r}")
    if _is_token(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
