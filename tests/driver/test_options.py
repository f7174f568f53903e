"""The driver's options; that each is refused at the call is in test_driver.py."""

from __future__ import annotations

from typing import Any

import pytest

from wsdriver import ConfigurationError
from wsdriver.driver.options import MAX_FRAGMENTS, DriverOptions


def test_options_by_default_are_those_of_the_documents() -> None:
    options = DriverOptions()
    assert options.max_length == 2**26 - 1
    assert options.max_fragments == MAX_FRAGMENTS == 131072
    assert options.protocols == ()
    assert options.headers == ()


@pytest.mark.parametrize("protocols", ["chat, superchat", ["chat", "superchat"], ("chat", "superchat")])
def test_protocols_of_any_form_become_a_tuple(protocols: Any) -> None:
    assert DriverOptions(protocols=protocols).protocols == ("chat", "superchat")


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "b", "X-C": "d"}, [("X-A", "b"), ("X-C", "d")], (["X-A", "b"], ["X-C", "d"])],
)
def test_headers_of_any_form_become_pairs(headers: Any) -> None:
    assert [tuple(pair) for pair in DriverOptions(headers=headers).headers] == [("X-A", "b"), ("X-C", "d")]


def test_headers_given_once_only_are_kept() -> None:
    options = DriverOptions(headers=((name, "1") for name in ("A", "B")))
    assert [tuple(pair) for pair in options.headers] == [("A", "1"), ("B", "1")]
    assert [tuple(pair) for pair in options.headers] == [("A", "1"), ("B", "1")]


def test_headers_changed_after_the_call_are_not_taken() -> None:
    pair = ["X-A", "b"]
    given = [pair]
    options = DriverOptions(headers=given)
    given.append(["X-C", "d"])
    pair[1] = "evil\r\nX: y"
    assert [tuple(pair) for pair in options.headers] == [("X-A", "b")]


@pytest.mark.parametrize("headers", [None, 5, "X: y", ["X"], [("X",)], [("X", "a", "b")], [5], {"X": None}])
def test_headers_of_another_form_are_refused(headers: Any) -> None:
    with pytest.raises(ConfigurationError):
        DriverOptions(headers=headers)


def test_options_cannot_be_changed() -> None:
    options = DriverOptions()
    with pytest.raises(AttributeError):
        options.max_length = 5  # type: ignore[misc]
