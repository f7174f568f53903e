"""No row is without a test, and no test without a row."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.hostile.frames import FRAMES, OLD
from tests.hostile.rows import ROWS
from tests.hostile.test_answers import ANSWERS
from tests.hostile.test_heads import HEADS
from tests.hostile.test_time import WORK

ROOT = Path(__file__).resolve().parents[2]

TABLES = {
    "test_frames.py::test_driver_ends": [attack.needs for attack in FRAMES],
    "test_frames.py::test_driver_of_an_old_version": [attack.needs for attack in OLD],
    "test_heads.py::test_driver": [attack.needs for attack in HEADS],
    "test_answers.py::test_driver": [attack.needs for attack in ANSWERS],
    "test_time.py::test_time": [needs for needs, _, _ in WORK.values()],
}


def names_of(path: Path) -> set[str]:
    """The tests of a file, and the classes of tests."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}::{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found


@pytest.mark.parametrize("row", ROWS)
def test_row_has_tests_that_are_there(row: str) -> None:
    assert ROWS[row]
    for test in ROWS[row]:
        path, _, name = test.partition("::")
        assert (ROOT / path).is_file(), test
        assert not name or name in names_of(ROOT / path), test


@pytest.mark.parametrize("table", TABLES)
def test_attacks_are_for_rows_and_rows_for_attacks(table: str) -> None:
    needed = {row for needs in TABLES[table] for row in needs}
    assert needed <= set(ROWS)
    claimed = {row for row, tests in ROWS.items() if any(table in test for test in tests)}
    claimed -= {"kin: what an error keeps"}  # which all of them show
    assert claimed == needed
    assert all(TABLES[table]), "an attack is for nothing"


def test_each_test_here_is_for_a_row() -> None:
    claimed = {test for tests in ROWS.values() for test in tests}
    for path in sorted((ROOT / "tests/hostile").glob("test_*.py")):
        if path.name == "test_rows.py":
            continue
        file = path.relative_to(ROOT).as_posix()
        for name in names_of(path):
            if name.startswith(("test_", "Test")) and "::" not in name:
                assert file in claimed or f"{file}::{name}" in claimed, f"{file}::{name} is for no row"
