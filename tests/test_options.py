"""Options: what is wrong is refused at the call, and the words help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from wsdriver.exceptions import ConfigurationError
from wsdriver.options import (
    DEFAULT_MAX_LENGTH,
    TOKEN,
    check_bool,
    check_int,
    check_seconds,
    check_tokens,
    make_options,
)


@dataclass(frozen=True)
class Options:
    """Some options, as a part of the package has them."""

    max_length: int = 5
    ping_timeout: float | None = 20
    protocols: Any = ()


def test_default_max_length_is_that_of_websocket_driver() -> None:
    assert DEFAULT_MAX_LENGTH == 0x3FFFFFF == 2**26 - 1


def test_make_options_builds_the_dataclass() -> None:
    assert make_options(Options, {}) == Options()
    assert make_options(Options, {"max_length": 7}) == Options(max_length=7)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("max_lenght", "max_length"),
        ("maxlength", "max_length"),
        ("MaxLength", "max_length"),
        ("ping_timeuot", "ping_timeout"),
        ("timeout", "ping_timeout"),
        ("protocol", "protocols"),
    ],
)
def test_make_options_given_a_near_name_says_the_right_one(name: str, nearest: str) -> None:
    with pytest.raises(ConfigurationError, match=f"unknown option '{name}': did you mean '{nearest}'"):
        make_options(Options, {name: 1})


def test_make_options_given_a_far_name_lists_all() -> None:
    with pytest.raises(ConfigurationError, match="'zzz': the options are max_length, ping_timeout, protocols"):
        make_options(Options, {"max_length": 1, "zzz": 1})


@pytest.mark.parametrize(("value", "least", "most"), [(0, 0, None), (5, 0, None), (1, 1, 1), (10**30, 0, None)])
def test_check_int_within_bounds_is_taken(value: int, least: int, most: int | None) -> None:
    check_int("size", value, least, most)


@pytest.mark.parametrize(
    ("value", "least", "most", "words"),
    [
        (-1, 0, None, "size must be an int of at least 0, not -1"),
        (0, 1, 9, "size must be an int from 1 to 9, not 0"),
        (10, 1, 9, "from 1 to 9, not 10"),
        (True, 0, None, "not True"),
        (1.0, 0, None, "not 1.0"),
        ("5", 0, None, "not '5'"),
        (None, 0, None, "not None"),
    ],
)
def test_check_int_outside_of_bounds_is_refused(value: Any, least: int, most: int | None, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_int("size", value, least, most)


@pytest.mark.parametrize("value", [None, 1, 0.001, 20.0, 10**9])
def test_check_seconds_positive_or_none_is_taken(value: float | None) -> None:
    check_seconds("timeout", value)


@pytest.mark.parametrize("value", [0, 0.0, -1, True, False, "5", b"5", [], float("nan"), -float("inf")])
def test_check_seconds_otherwise_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be a positive number of seconds"):
        check_seconds("timeout", value)


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (None, ()),
        ([], ()),
        ((), ()),
        (["chat"], ("chat",)),
        (["chat", "superchat"], ("chat", "superchat")),
        (("v1.chat", "v2+x"), ("v1.chat", "v2+x")),
        ("chat", ("chat",)),
        ("chat, superchat", ("chat", "superchat")),
        ("chat,superchat", ("chat", "superchat")),
        (iter(["a", "b"]), ("a", "b")),
        (["Chat", "chat"], ("Chat", "chat")),
        (["!#$%&'*+-.^_`|~09AZaz"], ("!#$%&'*+-.^_`|~09AZaz",)),
    ],
)
def test_check_tokens_of_tokens_returns_them(value: Any, tokens: tuple[str, ...]) -> None:
    assert check_tokens("protocols", value) == tokens


@pytest.mark.parametrize(
    "value",
    [
        "",
        ",",
        "chat,",
        "chat super",
        [""],
        ["a b"],
        ["a,b"],
        ["a;b"],
        ["a/b"],
        ["caf\xe9"],
        ["a\n"],
        [b"chat"],
        [5],
        [None],
        5,
        b"chat",
        object(),
    ],
)
def test_check_tokens_of_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"protocols must be a list of tokens"):
        check_tokens("protocols", value)


@pytest.mark.parametrize("value", [0, 1, None, "yes", ""])
def test_check_bool_of_anything_else_is_refused(value: object) -> None:
    check_bool("debug", True)
    check_bool("debug", False)
    with pytest.raises(ConfigurationError, match="debug must be True or False"):
        check_bool("debug", value)


def test_check_tokens_twice_the_same_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="twice"):
        check_tokens("protocols", ["a", "b", "a"])


def test_token_characters_are_those_of_rfc_9110() -> None:
    delimiters = set('"(),/:;<=>?@[\\]{}')
    assert set(TOKEN) == {chr(code) for code in range(0x21, 0x7F)} - delimiters
