"""The tables of growth: the tool runs, and says so where something falls short."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import growth
from tests.support.peers import need_program

ROOT = Path(__file__).resolve().parents[1]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    return done.stdout


def test_driver_alone_takes_and_sends_all_that_the_tables_ask_for() -> None:
    rows = json.loads(run("-m", "tests.bench.growth_driver", "--quick"))
    assert {row["table"] for row in rows} >= {"server, text in", "client, binary out", "server, permessage-deflate in"}
    assert all(row["ns"] > 0 for row in rows)


def test_report_goes_between_the_markers_with_a_figure_for_each_and_a_verdict(tmp_path: Path) -> None:
    need_program("cc")
    report = tmp_path / "performance.md"
    report.write_text(f"before\n{growth.BEGIN}old{growth.END}\nbehind\n")
    run("-m", "tests.bench.growth", "--quick", "--parts", "latency", "--output", str(report))
    text = report.read_text()
    assert text.startswith(f"before\n{growth.BEGIN}\n\n### Latency")
    assert text.endswith(f"{growth.END}\nbehind\n")
    assert "old" not in text
    (line,) = (line for line in text.splitlines() if line.startswith("| at once |"))
    *figures, verdict = (cell.strip().replace(",", "") for cell in line.split("|")[2:-1])
    assert len(figures) == 5
    assert all(float(figure) > 0 for figure in figures)
    assert verdict == growth.verdict(float(figures[-1]) <= growth.LONE) or figures[-1] == "1.00"


def test_file_without_a_place_for_the_report_is_left_alone(tmp_path: Path) -> None:
    report = tmp_path / "performance.md"
    report.write_text("mine\n")
    with pytest.raises(SystemExit):
        growth.write(report, "report")
    assert report.read_text() == "mine\n"
