"""Options by keyword: an unknown name or an unfit value is refused at the call that gives it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from wsdriver.exceptions import ConfigurationError

__all__ = ["DEFAULT_MAX_LENGTH", "check_bool", "check_int", "check_seconds", "check_tokens", "make_options"]

#: Bytes of one message, the same as in websocket-driver: 64 MiB less one.
DEFAULT_MAX_LENGTH = 2**26 - 1

#: RFC 9110 §5.6.2: what a token (header name, subprotocol) is made of.
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

#: Values that cannot change, whose types tell 1 from True.
_PLAIN = (bool, int, float, str, type(None))

#: How many options are kept, to be used again: a server gives the same for each connection.
_MAX_KEPT = 256

T = TypeVar("T")

_kept: dict[Any, Any] = {}


def make_options(kind: type[T], given: Mapping[str, Any], also: Iterable[str] = ()) -> T:
    """Build the dataclass ``kind`` from keyword arguments.

    Args:
        kind: says which names there are.
        given: the values.
        also: names that the caller takes beside them, for the message.

    Raises:
        ConfigurationError: a name that ``kind`` does not have; the message names the nearest one.
    """
    key = _key_of(kind, given)
    if key in _kept:
        kept: T = _kept[key]
        return kept
    names = [field.name for field in fields(kind) if field.init]  # type: ignore[arg-type]
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, [*names, *also], 1)
            hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(sorted([*names, *also]))}"
            raise ConfigurationError(f"unknown option {name!r}: {hint}")
    made = kind(**given)
    if key is not None and len(_kept) < _MAX_KEPT:
        _kept[key] = made
    return made


def _key_of(kind: type, given: Mapping[str, Any]) -> Any:
    """Return what tells these options from all others; None where a value may be something that changes."""
    key: list[Any] = [kind]
    for name, value in given.items():
        if type(value) not in _PLAIN and not (type(value) is tuple and not value):
            return None
        key += (name, type(value), value)
    return tuple(key)


def check_bool(name: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}")


def check_int(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is no int within ``least`` and ``most``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ConfigurationError(f"{name} must be an int {bounds}, not {value!r}")


def check_seconds(name: str, value: object) -> None:
    """Refuse what is neither None (off) nor a positive number of seconds."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} must be a positive number of seconds, or None for none, not {value!r}")


def check_tokens(name: str, value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return ``value`` as a tuple of distinct tokens (RFC 6455 §4.1: subprotocol names)."""
    if value is None:
        return ()
    try:
        tokens = tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else tuple(value)
    except TypeError:
        tokens = ("",)
    for token in tokens:
        if not isinstance(token, str) or not token or not TOKEN.issuperset(token):
            raise ConfigurationError(f"{name} must be a list of tokens such as ['chat'], not {value!r}")
    if len(set(tokens)) != len(tokens):
        raise ConfigurationError(f"{name} names one of them twice: {value!r}")
    return tokens
