"""The report: medians, ratios, targets, as Markdown and as JSON."""

from __future__ import annotations

import datetime
import json
import platform
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.measures import Column, Sample, Settings
from tests.bench.results import Results, Verdict
from tests.bench.rows import Row


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
    lines = []
    for name, samples in results.samples.get(row.name, {}).items():
        values = [number(results.value(row, name, column), column.digits) for column in columns]
        ratio = "-" if name == "wsdriver" else number(results.ratio(row, "wsdriver", name), 2)
        lines.append([row.table[name].title, *values, spread(samples, columns[0]), ratio])
    missed = sum(verdict.falls_short for verdict in results.verdicts([row]))
    note = f" - **short of {missed} target{'s' * (missed > 1)}**" if missed else ""
    better = "Higher" if row.measure.higher_is_better else "Lower"
    head = ["server", *(column.unit for column in columns), "spread", "wsdriver : it"]
    what = row.measure.describe(results.settings.quick)
    title = f"### {row.name}{note}\n\n{what[0].upper()}{what[1:]}. {better} is better."
    return f"{title}\n\n{table(head, lines) if lines else 'Not measured.'}"


def target_line(results: Results, verdict: Verdict) -> list[str]:
    """Return one line of the table of targets."""
    row, target = verdict.row, verdict.target
    headline = row.measure.columns[0]
    said = {None: "not measured", False: "**SHORT**", True: "reached"}[verdict.reached]
    aimed = {None: "not measured", False: "not yet", True: "reached"}[verdict.aim_reached]
    return [
        f"{row.name}: {target.ours}",
        "-" if target.bound is None else verdict.in_words(target.bound),
        number(verdict.measured, 2),
        f"{number(results.value(row, target.ours), headline.digits)} {headline.unit}",
        "-" if target.bound is None else said,
        "-" if target.aim is None else f"{verdict.in_words(target.aim)}: {aimed}",
    ]


def target_section(results: Results, rows: list[Row]) -> str:
    """Return the table of targets."""
    head = ["row", "target", "measured", "absolute", "verdict", "aim"]
    lines = [target_line(results, verdict) for verdict in results.verdicts(rows)]
    return f"### Targets\n\n{table(head, lines)}"


def shortfalls(results: Results, rows: list[Row]) -> list[str]:
    """Return a line for each target that was missed."""
    return [
        f"{verdict.row.name}: {verdict.target.ours}: {verdict.measured:.2f}, not {verdict.in_words(bound)}"
        for verdict in results.verdicts(rows)
        if verdict.falls_short and (bound := verdict.target.bound) is not None
    ]


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def often(settings: Settings) -> str:
    """Return how many runs there were."""
    if settings.judged_runs > settings.runs:
        return f"{settings.runs} to {settings.judged_runs} runs"
    return f"{settings.runs} run{'s' * (settings.runs > 1)}"


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
        "runs": f"{often(settings)} of {settings.seconds:g} s, interleaved, medians shown",
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
                    **asdict(verdict.target),
                    "measured": verdict.measured,
                    "short": verdict.falls_short,
                    "aim_reached": verdict.aim_reached,
                }
                for verdict in results.verdicts([row])
            ],
        }
    return json.dumps(document, indent=2) + "\n"
