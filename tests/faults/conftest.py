"""What the tests of faults share: what takes its time, but no processor, runs in the background of the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.peers import missing, need_program

pytest.register_assert_rewrite("tests.faults.bad_network")

from tests.faults.bad_network import SCENARIOS  # noqa: E402  # the asserts in it are rewritten

ROOT = Path(__file__).resolve().parents[2]


def run_shimmed(library: Path) -> dict[str, Any]:
    """Return what ``shimmed.py`` prints, and under ``log`` what it logs."""
    source = Path(__file__).with_name("shim.c")
    subprocess.run([need_program("gcc"), "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.faults.shimmed"],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    found["log"] = result.stderr
    return found


@pytest.fixture(scope="session", autouse=True)
def background(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Any]]]:
    """What runs, by name."""
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    work: dict[str, Callable[[], Any]] = {"shimmed": lambda: run_shimmed(library), **SCENARIOS}
    with ThreadPoolExecutor(len(work)) as pool:
        yield {name: pool.submit(job) for name, job in work.items()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those that wait for the background come last of this folder."""
    places = [place for place, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    ours = sorted((items[place] for place in places), key=lambda item: "result_of" in getattr(item, "fixturenames", ()))
    for place, item in zip(places, ours, strict=True):
        items[place] = item


@pytest.fixture
def result_of(background: dict[str, Future[Any]]) -> Callable[[str], Any]:
    """Waits for what ran under that name."""
    if sys.platform != "linux":
        missing("Linux, whose system calls and networks are made to fail")
    return lambda name: background[name].result(90)


@pytest.fixture
def outcomes(result_of: Callable[[str], Any]) -> dict[str, Any]:
    """What the shimmed process told."""
    found: dict[str, Any] = result_of("shimmed")
    return found
