"""Times in a histogram: what it says of them, against all of them sorted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsdriver.cli.histogram import UNIT, Histogram

TIMES = st.lists(st.floats(0, 1000), min_size=1, max_size=200)


def histogram(times: list[float]) -> Histogram:
    made = Histogram()
    for time in times:
        made.record(time)
    return made


@given(TIMES, st.floats(0.01, 1))
def test_quantile_is_near_the_true_one(times: list[float], share: float) -> None:
    made = histogram(times)
    true = sorted(times)[max(math.ceil(share * len(times)) - 1, 0)]
    assert made.quantile(share) == pytest.approx(true, rel=0.005, abs=UNIT)


@given(TIMES)
def test_least_and_most_are_exact(times: list[float]) -> None:
    made = histogram(times)
    assert (made.count, made.least, made.most) == (len(times), min(times), max(times))
    assert made.mean == pytest.approx(sum(times) / len(times))
    assert made.least <= made.quantile(0) <= made.quantile(1) == pytest.approx(made.most, rel=0.005, abs=UNIT)


@given(TIMES, st.integers(4, 60))
def test_rows_have_every_time_once_and_follow_each_other(times: list[float], most_rows: int) -> None:
    rows = histogram(times).rows(most_rows)
    assert sum(count for *_, count in rows) == len(times)
    assert len(rows) <= most_rows
    assert [end for _, end, _ in rows[:-1]] == [begin for begin, _, _ in rows[1:]]
    assert rows[-1][1] >= max(times) * 0.995 - UNIT


def test_nothing_has_no_rows_and_no_times() -> None:
    made = Histogram()
    assert made.rows(10) == []
    assert made.quantile(0.5) == made.most == made.mean == 0
