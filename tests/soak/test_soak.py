"""The long runs, short: every kind of ending, and each server under load; and they notice what they are there for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.soak import chart, report
from tests.soak.__main__ import main
from tests.soak.endings import SIDES, Outcome
from tests.soak.kinds import KINDS
from tests.soak.load import SERVERS, NotPossible, allow_files
from tests.soak.numbered import Judge, make
from tests.support.peers import need_module

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")


def run(part: str, path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a part; return the lines of its table."""
    assert main(["--quick", "--part", part, "--output", str(path)]) == 0, capsys.readouterr().err
    text = path.read_text()
    assert "SHORT" not in text
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


def test_connections_that_end_in_every_way_leave_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_module("trustme")
    rows = run("endings", tmp_path / "new.md", capsys)
    assert len([row for row in rows if "nothing lost" in row]) == 2 * len(KINDS)


def test_chart_has_a_line_for_each_kind_of_ending(tmp_path: Path) -> None:
    need_module("matplotlib")
    counts = {"descriptors": 1, "greenlets": 1, "watchers": 1}
    rest: dict[str, Any] = {"codes": {1000: 9}, "before": counts, "after": counts, "objects": (1, 1), "traced": 0}
    outcomes = [
        Outcome(title, side, 9, 1, 9, 1.0, resident=(50.0, 60.0, 60.0), faults=[], **rest)
        for title in ("closed by us", "RST")
        for side in SIDES
    ]
    chart.write_chart(tmp_path / chart.NAME, outcomes)
    drawn = (tmp_path / chart.NAME).read_text()
    for each in outcomes:
        assert f">{each.title}, {each.side}</text>" in drawn


def test_no_message_is_lost_doubled_or_reordered_under_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_module("gunicorn.workers.ggevent")
    need_module("websockets.asyncio.client")
    path = tmp_path / "reliability.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nbehind\n")
    rows = run("load", path, capsys)
    assert len([row for row in rows if "nothing lost" in row]) == len(SERVERS)
    text = path.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n\n### Load")
    assert text.endswith(f"{report.END}\nbehind\n")
    assert "old" not in text


def test_file_without_a_place_for_the_report_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "reliability.md"
    path.write_text("mine\n")
    with pytest.raises(SystemExit):
        main(["--quick", "--output", str(path)])
    assert path.read_text() == "mine\n"


def test_too_low_a_limit_of_open_files_is_said() -> None:
    with pytest.raises(NotPossible, match="ulimit -Hn"):
        allow_files(1 << 40)


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([0, 1, 2, 3, 4, 5], None),
        ([0, 1, 3, 4, 5], "message lost"),
        ([0, 1, 2, 2, 3, 4, 5], "message doubled or late"),
        ([0, 2, 1, 3, 4, 5], "message doubled or late"),
    ],
)
def test_judge_sees_what_is_lost_doubled_or_reordered(messages: list[int], fault: str | None) -> None:
    stream = next(name for name in map(str, range(10_000)) if all(len(make(name, i)) > 100 for i in range(6)))
    faults: Counter[str] = Counter()
    judge = Judge(stream, faults=faults)
    for number in messages:
        judge.check(make(stream, number))
    assert (fault in faults) if fault else not faults
    assert judge.counts == {stream: 6}


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:-1] + b"?", lambda data: b"?" + data])
def test_judge_sees_what_is_damaged(change: Any) -> None:
    stream = next(name for name in map(str, range(100)) if isinstance(make(name, 0), bytes) and len(make(name, 0)) > 99)
    faults: Counter[str] = Counter()
    Judge(stream, faults=faults).check(change(make(stream, 0)))
    assert set(faults) <= {"damaged message", "unknown message"}
    assert faults.total() == 1
