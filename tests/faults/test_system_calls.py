"""System calls that fail: those that may be tried again cost nothing but time; the others, one connection, once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.shimmed import FATAL, PASSING


@pytest.mark.parametrize(("call", "name"), [row[:2] for row in PASSING], ids=lambda value: value or "short count")
def test_call_that_may_be_tried_again_loses_nothing(call: str, name: str, outcomes: dict[str, Any]) -> None:
    outcome = outcomes[f"{call} {name}"]
    assert outcome["touched"] > 0
    assert outcome["right"] == 3  # clients: each message came back, in order
    # Three clients, and a server with three handlers.
    assert (outcome["unfinished"], outcome["told"], outcome["codes"]) == (0, {"1": 6}, {"1000": 6})
    assert outcome["cpu"] < 0.5  # it waits, and does not try in a circle


@pytest.mark.parametrize(("call", "name"), FATAL)
def test_call_that_says_the_connection_is_lost_ends_it_once(call: str, name: str, outcomes: dict[str, Any]) -> None:
    outcome = outcomes[f"{call} {name}"]
    assert outcome["touched"] == 1
    assert outcome["lost"]
    assert outcome["error"] in ("ConnectionResetError", "TimeoutError", "OSError")
    assert outcome["code"] == 1006
    assert outcome["right"]  # of the other connection
    assert (outcome["unfinished"], outcome["told"], outcome["codes"]) == (0, {"1": 4}, {"1000": 2, "1006": 2})


def test_log_has_a_line_for_each_shortage_and_no_traceback(outcomes: dict[str, Any]) -> None:
    """Each was in a server of its own."""
    lines = outcomes["log"].splitlines()
    assert len(lines) == 4
    assert all(line.startswith("no connections are accepted for now: ") for line in lines)
