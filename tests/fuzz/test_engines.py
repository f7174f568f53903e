"""The engines find what is there to be found, and say what they did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import engines


def fails_on_a_word(data: bytes) -> None:
    assert b"ab" not in data or b"yz" not in data


def test_minimised_input_has_what_is_needed_and_no_more() -> None:
    data = b"this goes on and on, ab" + bytes(range(90)) + b"yz, and on" * 20
    assert sorted(engines.minimise(fails_on_a_word, data, 20)) == sorted(b"abyz")
    assert engines.minimise(fails_on_a_word, b"harmless", 20) == b"harmless"


def test_hypothesis_that_finds_something_leaves_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_soon(data: bytes) -> None:
        assert len(data) < 20 or data[10] != data[12]

    monkeypatch.setattr(engines, "load_target", lambda name: fails_soon)
    with pytest.raises(AssertionError):
        engines.run_hypothesis("header", 60, tmp_path)
    with pytest.raises(AssertionError):
        fails_soon((tmp_path / "crash-hypothesis").read_bytes())


def test_engine_that_is_missing_fails_in_ci_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(engines.sys, "version_info", (3, 11))
    monkeypatch.setenv("CI", "false")
    assert engines.choose_engine() == "hypothesis"
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RuntimeError, match="CI has to install it"):
        engines.choose_engine()


def test_command_says_what_it_did() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--engine", "hypothesis", "--seconds", "1", "--target", "header"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("hypothesis ")
    assert second.startswith("header ")
    assert " executions in " in second
