"""Where the report and the chart go."""

from __future__ import annotations

from pathlib import Path

from tests.bench.chart import write_chart
from tests.bench.results import Results
from tests.bench.rows import Row
from tests.bench.server import ROOT

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
REPORT, CHART = "performance.md", "speed.svg"
#: The published figures, which only a whole run replaces; and where all others go.
PUBLISHED = ROOT / "docs"
SCRATCH = ROOT / "build" / "bench"


def check_report(path: Path) -> None:
    """Raise ValueError for a file that is there, even an empty one, but has no place for a report: it is someone's."""
    if path.exists():
        text = path.read_text()
        if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
            raise ValueError(f"{path} exists and has no place for a report between '{BEGIN}' and '{END}'")


def write_report(path: Path, report: str) -> None:
    """Write the report between the two markers of a file; a new file is made of the markers and the report."""
    check_report(path)
    text = path.read_text() if path.exists() else f"{BEGIN}{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after}")


def publish(folder: Path, report: str, results: Results, rows: list[Row]) -> list[str]:
    """Write both into a folder; return what to say about it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_report(folder / REPORT, report)
    said = [f"written: {folder / REPORT}"]
    try:
        drawn = write_chart(folder / CHART, results, rows)
        said.append(f"written: {folder / CHART}" if drawn else "no chart: none of these rows is in it")
    except ImportError as exc:
        said.append(f"no chart: {exc.name or 'matplotlib'} is not installed (pip install 'wsdriver[bench]')")
    return said
