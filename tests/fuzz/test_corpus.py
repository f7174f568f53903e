"""Every input of the corpora, what the fuzzing begins with and what it has found, through its target."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.fuzz.corpora import inputs
from tests.fuzz.targets import TARGETS
from tests.fuzz.targets.frames import LIMITS
from tests.fuzz.worlds import worlds
from wsdriver.framing import hybi

#: Bytes that an input may take: twice the largest ``max_length`` there, and 1 MiB.
MEMORY = 2 * 20_000 + 1024 * 1024


def test_worlds_are_the_plain_modules_and_those_in_use() -> None:
    assert [world["framing.hybi"].COMPILED for world in worlds()] == [False] + [True] * hybi.COMPILED
    assert [world.name for world in worlds()] == ["plain", "compiled"][: len(worlds())]


@pytest.mark.parametrize(("target", "name"), [(target, name) for target in TARGETS for name in inputs(target)])
def test_input_of_the_corpus_finds_nothing(target: str, name: str) -> None:
    data = inputs(target)[name]
    TARGETS[target](data)


@pytest.mark.parametrize("target", ["server", "frames", "client"])
def test_input_of_the_corpus_takes_little_memory(target: str) -> None:
    peaks = {}
    known = inputs(target)
    if target == "frames":  # ... unless nothing limits what a frame may declare
        known = {name: data for name, data in known.items() if LIMITS[data[1] % len(LIMITS)]["max_length"]}
    for data in list(known.values())[:3]:  # some things are made at their first use
        TARGETS[target](data)
    tracemalloc.start()
    try:
        for name, data in known.items():
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            TARGETS[target](data)
            peaks[name] = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert max(peaks.values()) < MEMORY, max(peaks, key=peaks.__getitem__)
