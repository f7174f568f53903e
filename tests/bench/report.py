"""The report: medians, ratios, targets, as Markdown and as JSON."""

from __future__ import annotations

import datetime
import json
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.measures import Column, Sample, Settings
from tests.bench.rows import Row, Target

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


@dataclass
class Results:
    """All samples of one benchmark, and what could not be measured."""

    settings: Settings
    load_average: float
    versions: dict[str, str]
    compiled: list[str]
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def value(self, row: Row, server: str, column: Column | None = None) -> float | None:
        """Return the median of a column, the first by default; None when the server was not measured."""
        samples = self.samples.get(row.name, {}).get(server)
        name = (column or row.measure.columns[0]).name
        return median(sample[name] for sample in samples) if samples else None

    def reached(self, row: Row, target: Target) -> float | None:
        """Return the number that a target bounds: ours, or ours against the peer's."""
        ours = self.value(row, target.ours)
        if target.peer is None or ours is None:
            return ours
        peer = self.value(row, target.peer)
        return ours / peer if peer else None

    def falls_short(self, row: Row, target: Target) -> bool:
        """Tell whether a target was measured and missed."""
        reached = self.reached(row, target)
        if reached is None:
            return False
        return reached < target.bound if row.measure.higher_is_better else reached > target.bound


def table(head: list[str], lines: list[list[str]]) -> str:
    """Return a Markdown table: the first column to the left, numbers to the right."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *lines])


def number(value: float | None, digits: int = 0) -> str:
    """Return 1234567.8 as 1,234,568."""
    return "-" if value is None else f"{value:,.{digits}f}"


def spread(samples: list[Sample], column: Column) -> str:
    """Return how far the runs lie apart, as a share of their median."""
    values = [sample[column.name] for sample in samples]
    return f"{(max(values) - min(values)) / median(values):.0%}" if len(values) > 1 and median(values) else "-"


def row_section(results: Results, row: Row) -> str:
    """Return one row's table: every server, and wsdriver against it."""
    columns = row.measure.columns
    ours = results.value(row, "wsdriver")
    lines = []
    for name, samples in results.samples.get(row.name, {}).items():
        values = [number(results.value(row, name, column), column.digits) for column in columns]
        theirs = results.value(row, name)
        ratio = number(ours / theirs, 2) if ours and theirs and name != "wsdriver" else "-"
        lines.append([row.table[name].title, *values, spread(samples, columns[0]), ratio])
    missed = sum(results.falls_short(row, target) for target in row.targets)
    note = f" - **short of {missed} target{'s' * (missed > 1)}**" if missed else ""
    better = "Higher" if row.measure.higher_is_better else "Lower"
    head = ["server", *(column.unit for column in columns), "spread", "wsdriver : it"]
    what = row.measure.describe(results.settings.quick)
    title = f"### {row.name}{note}\n\n{what[0].upper()}{what[1:]}. {better} is better."
    return f"{title}\n\n{table(head, lines) if lines else 'Not measured.'}"


def target_section(results: Results, rows: list[Row]) -> str:
    """Return the table of targets."""
    lines = []
    for row in rows:
        headline = row.measure.columns[0]
        for target in row.targets:
            reached = results.reached(row, target)
            bound = f"{'at least' if row.measure.higher_is_better else 'at most'} {target.bound:g} "
            bound += headline.unit if target.peer is None else f"x {target.peer}"
            short = results.falls_short(row, target)
            verdict = "not measured" if reached is None else "**SHORT**" if short else "reached"
            lines.append([f"{row.name}: {target.ours}", bound, number(reached, 2), verdict])
    return f"### Targets\n\n{table(['row', 'target', 'measured', 'verdict'], lines)}"


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def circumstances(results: Results) -> dict[str, str]:
    """Return what the figures depend on. No paths and no host name: the report is published."""
    settings = results.settings
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load average at the start": f"{results.load_average:.2f}",
        "packages": ", ".join(f"{name} {version}" for name, version in sorted(results.versions.items())),
        "compiled modules of wsdriver": ", ".join(results.compiled) or "none",
        "runs": f"{settings.runs} of {settings.seconds:g} s, interleaved, medians shown",
    }


def markdown(results: Results, rows: list[Row]) -> str:
    """Return the whole report."""
    parts = ["\n".join(f"- {name}: {text}" for name, text in circumstances(results).items())]
    if results.left_out:
        parts.append("\n".join(f"- left out: {name}: {reason}" for name, reason in results.left_out.items()))
    parts += [row_section(results, row) for row in rows]
    parts.append(target_section(results, rows))
    return "\n\n".join(parts) + "\n"


def as_json(results: Results, rows: list[Row]) -> str:
    """Return every sample, the medians and the targets."""
    document: dict[str, Any] = {"circumstances": circumstances(results), "left_out": results.left_out, "rows": {}}
    for row in rows:
        servers = results.samples.get(row.name, {})
        document["rows"][row.name] = {
            "what": row.measure.describe(results.settings.quick),
            "servers": {
                name: {
                    "median": {column.name: results.value(row, name, column) for column in row.measure.columns},
                    "samples": samples,
                }
                for name, samples in servers.items()
            },
            "targets": [
                {
                    "ours": target.ours,
                    "peer": target.peer,
                    "bound": target.bound,
                    "measured": results.reached(row, target),
                    "short": results.falls_short(row, target),
                }
                for target in row.targets
            ],
        }
    return json.dumps(document, indent=2) + "\n"


def check_output(path: Path) -> None:
    """Raise ValueError for a file that is there, even an empty one, but has no place for a report: it is someone's."""
    if path.exists():
        text = path.read_text()
        if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
            raise ValueError(f"{path} exists and has no place for a report between '{BEGIN}' and '{END}'")


def write_output(path: Path, report: str) -> None:
    """Write the report between the two markers of a file; a new file is made of the markers and the report."""
    check_output(path)
    text = path.read_text() if path.exists() else f"{BEGIN}{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{after}")
