"""The benchmark works: figures, chart and verdicts come out, and only a whole run replaces what is published."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import output
from tests.bench.__main__ import parse_arguments
from tests.bench.chart import PANELS, short, write_chart
from tests.bench.measures import Settings
from tests.bench.report import markdown, shortfalls
from tests.bench.results import Results
from tests.bench.rows import PEERS, ROWS, Row, Target
from tests.support.peers import need_module, need_program

ROOT = Path(__file__).resolve().parent.parent
HIGHER, LOWER = ROWS["small"], ROWS["connect"]


def results(**rows: dict[str, float]) -> Results:
    """Return results with one sample of the first column for each server of each row."""
    done = Results(Settings(1, 1, 0.1, True, Path()), 0.0, {}, [])
    for name, servers in rows.items():
        columns = [column.name for column in ROWS[name].measure.columns]
        done.samples[name] = {server: [dict.fromkeys(columns, value)] for server, value in servers.items()}
    return done


@pytest.mark.parametrize(
    ("row", "target", "measured", "reached", "aim_reached"),
    [
        (HIGHER, Target(1.35, "raw-gevent", aim=2.0), {"wsdriver": 134, "raw-gevent": 100}, False, False),
        (HIGHER, Target(1.35, "raw-gevent", aim=2.0), {"wsdriver": 135, "raw-gevent": 100}, True, False),
        (HIGHER, Target(1.35, "raw-gevent", aim=2.0), {"wsdriver": 200, "raw-gevent": 100}, True, True),
        (HIGHER, Target(None, "picows", aim=1.0), {"wsdriver": 99, "picows": 100}, None, False),
        (HIGHER, Target(1.0, "picows"), {"wsdriver": 99.6, "picows": 100}, True, None),  # shown as 1.00
        (HIGHER, Target(1.0, "picows", aim=2.0), {"wsdriver": 99}, None, None),
        (HIGHER, Target(1.0, "picows", aim=2.0), {"picows": 99}, None, None),
        (
            HIGHER,
            Target(0.95, "wsdriver", ours="wsdriver-gunicorn"),
            {"wsdriver": 100, "wsdriver-gunicorn": 94},
            False,
            None,
        ),
        (LOWER, Target(2.2, "raw-gevent", aim=1.7), {"wsdriver": 221, "raw-gevent": 100}, False, False),
        (LOWER, Target(2.2, "raw-gevent", aim=1.7), {"wsdriver": 220, "raw-gevent": 100}, True, False),
        (LOWER, Target(2.2, "raw-gevent", aim=1.7), {"wsdriver": 170, "raw-gevent": 100}, True, True),
        (LOWER, Target(110, aim=85), {"wsdriver": 110.1}, False, False),
        (LOWER, Target(110, aim=85), {"wsdriver": 109}, True, False),
    ],
)
def test_a_verdict_is_by_the_ratio_to_the_peer(
    row: Row, target: Target, measured: dict[str, float], reached: bool | None, aim_reached: bool | None
) -> None:
    verdict = results(**{row.name: measured}).verdict(row, target)
    assert verdict.reached is reached
    assert verdict.aim_reached is aim_reached
    assert verdict.falls_short is (reached is False)


def test_a_ratio_is_taken_within_each_run() -> None:
    done = results(small={})
    for name, rates in (("wsdriver", [100, 300, 20]), ("picows", [50, 100, 40])):  # medians: 100 and 50
        done.samples["small"][name] = [{"rate": rate} for rate in rates]
    assert done.ratio(HIGHER, "wsdriver", "picows") == 2.0
    done.samples["small"]["picows"].pop()  # it failed in the last run
    assert done.ratio(HIGHER, "wsdriver", "picows") == 2.5
    assert done.ratio(HIGHER, "wsdriver", "node-ws") is None


def test_the_report_says_what_falls_short() -> None:
    done = results(
        connect={"wsdriver": 250.0, "raw-gevent": 100.0, "wsdriver-gunicorn": 300.0, "gevent-websocket": 400.0}
    )
    text = markdown(done, [LOWER])
    assert "### connect - **short of 1 target**" in text
    assert (
        "| connect: wsdriver | at most 2.2 x raw-gevent | 2.50 | 250.0 us of server CPU | **SHORT** "
        "| at most 1.7 x raw-gevent: not yet |" in text
    )
    assert "at most 1 x gevent-websocket | 0.75 | 300.0 us of server CPU | reached |" in text
    assert shortfalls(done, [LOWER]) == ["connect: wsdriver: 2.50, not at most 2.2 x raw-gevent"]


def test_every_target_is_about_servers_of_its_row() -> None:
    for row in ROWS.values():
        assert set(row.servers) <= set(row.table), row.name
        for target in row.targets:
            assert {target.ours, target.peer or "wsdriver"} <= set(row.servers), row.name
    assert {panel.row for panel in PANELS} <= set(ROWS)


def test_servers_that_a_target_is_about_have_more_runs() -> None:
    """Of the others the figures are shown; of these they are judged, on a machine that others use too."""
    assert ROWS["medium"].judged == {"wsdriver", "raw-gevent", "picows"}
    assert ROWS["small"].judged >= {"wsdriver", "wsdriver-gunicorn", "wsdriver-pure", "raw-gevent"}
    wanted = parse_arguments(["--runs", "3"])
    assert (wanted.runs, wanted.judged_runs) == (3, 12)
    wanted = parse_arguments(["--runs", "3", "--judged-runs", "1"])
    assert (wanted.runs, wanted.judged_runs) == (3, 3)
    assert parse_arguments(["--quick"]).judged_runs == 1


def test_only_a_whole_run_replaces_the_published_figures() -> None:
    assert parse_arguments([]).output == output.PUBLISHED
    assert parse_arguments(["--runs", "3", "--seconds", "0.5"]).output == output.PUBLISHED
    for part in (["--quick"], ["--rows", "small"], ["--peers", "picows"]):
        assert parse_arguments(part).output == output.SCRATCH
    assert parse_arguments(["--no-output"]).output is None
    output.check_report(output.PUBLISHED / output.REPORT)  # there is a place for them


def test_a_report_replaces_only_what_is_between_its_markers(tmp_path: Path) -> None:
    path = tmp_path / output.REPORT
    path.write_text(f"before\n{output.BEGIN}\nold\n{output.END}\nbehind\n")
    output.write_report(path, "new\n")
    assert path.read_text() == f"before\n{output.BEGIN}\n\nnew\n\n{output.END}\nbehind\n"


def test_a_file_without_markers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / output.REPORT
    path.write_text("someone's own\n")
    with pytest.raises(SystemExit):
        parse_arguments(["--output", str(tmp_path)])
    assert path.read_text() == "someone's own\n"


def test_the_chart_shows_every_server_and_is_always_the_same(tmp_path: Path) -> None:
    need_module("matplotlib")
    figures = {name: 12345.0 * number for number, name in enumerate(("wsdriver", "wsdriver-pure", *PEERS), 1)}
    done = results(**{panel.row: figures for panel in PANELS})
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    for path in (first, second):
        assert write_chart(path, done, list(ROWS.values()))
    text = first.read_text()
    assert text == second.read_text()
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    for panel in PANELS:
        assert panel.title in words
    for name, value in figures.items():
        assert words.count("TCP echo, no WebSocket" if name == "raw-gevent" else name) == len(PANELS)
        assert words.count(short(value)) == len(PANELS)


def test_a_chart_of_other_rows_is_none(tmp_path: Path) -> None:
    need_module("matplotlib")
    path = tmp_path / "speed.svg"
    assert not write_chart(path, results(channel={"wsdriver": 1.0}), [ROWS["channel"]])
    assert not path.exists()


def test_without_matplotlib_there_is_a_report_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = results(small={"wsdriver": 1.0})
    said = output.publish(tmp_path / "new", "the report\n", done, [HIGHER])
    assert "the report" in (tmp_path / "new" / output.REPORT).read_text()
    assert "no chart: matplotlib is not installed" in said[-1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.2345e6, "1.23 M"), (123456, "123 k"), (71632, "71.6 k"), (9999, "9,999"), (348.2, "348"), (10.75, "10.8")],
)
def test_figures_at_the_bars_have_about_three_digits(value: float, text: str) -> None:
    assert short(value) == text


#: Runs the command with a target that nothing reaches.
PROGRAM = """
import dataclasses, sys
from tests.bench.__main__ import main
from tests.bench.rows import ROWS, Target
ROWS["medium"] = dataclasses.replace(ROWS["medium"], targets=(Target(1e6, "raw-gevent"),))
sys.exit(main(sys.argv[1:]))
"""


def test_the_benchmark_runs(tmp_path: Path) -> None:
    need_program("cc")
    for module in ("matplotlib", "trustme", "websockets"):
        need_module(module)
    rows = ["medium", "deflate", "deflate-memory", "tls-small", "client-small", "channel"]
    peers = ["raw-gevent", "websockets-sync"]
    samples = tmp_path / "samples.json"
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        "--quick",
        "--seconds",
        "0.1",
        "--judged-runs",
        "2",
        "--rows",
        ",".join(rows),
        "--peers",
        ",".join(peers),
    ]
    done = subprocess.run(
        [*command, "--output", str(tmp_path), "--json", str(samples)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"short of these targets:\nmedium: wsdriver: [\d.]+, not at least 1e\+06 x raw-gevent", done.stderr
    )
    report = (tmp_path / output.REPORT).read_text()
    assert done.stdout.strip() in report
    assert "left out" not in report, report
    assert "### medium - **short of 1 target**" in report
    measured = json.loads(samples.read_text())["rows"]
    chart = (tmp_path / output.CHART).read_text()
    for name in rows:
        row = ROWS[name]
        wanted = [server for server in row.servers if row.table[server].ours or server in peers]
        assert list(measured[name]["servers"]) == wanted
        section = report.partition(f"### {name}")[2].partition("###")[0]
        for server in wanted:
            runs = 2 if server in row.judged and not row.measure.fresh else 1
            assert len(measured[name]["servers"][server]["samples"]) == runs
            figure = measured[name]["servers"][server]["median"][row.measure.columns[0].name]
            assert figure > 0
            assert f"| {row.table[server].title} | {figure:,.{row.measure.columns[0].digits}f} |" in section
            if name in ("medium", "deflate"):
                assert f">{short(figure)}</text>" in chart
