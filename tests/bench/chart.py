"""The chart: a panel of horizontal bars for each of some rows, as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.measures import Column
from tests.bench.report import circumstances
from tests.bench.results import Results
from tests.bench.rows import Row

OURS, OURS_TOO, PEER, BARE, INK, FAINT = "#1d5fbf", "#8fb7ea", "#c3c9d1", "#ffffff", "#1b1f24", "#59636e"
#: Inches; a reader sees 96 of an inch's pixels, so this is 800 wide.
WIDTH, BAR, HEAD, TOP, BOTTOM = 800 / 96, 0.155, 0.5, 0.5, 0.12
COLUMNS, MARGIN, GAP = 2, 0.015, 0.04
#: Of a panel's width: where names end and bars begin, and the longest bar.
NAMES, BARS = 0.345, 0.45
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 7.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "wsdriver",
    "hatch.linewidth": 0.6,
    "hatch.color": FAINT,
}


@dataclass(frozen=True)
class Panel:
    """A row, what its heading says, and the column that is shown."""

    row: str
    title: str
    unit: str
    column: str


@dataclass(frozen=True)
class Bar:
    """A server's figure, and its ratio to wsdriver's figure in the chart."""

    name: str
    value: float
    ratio: float | None


PANELS = (
    Panel("small", "32 B text, 64 connections", "messages/s", "rate"),
    Panel("pipelined", "32 B text, 64 in flight on each of 16", "messages/s", "rate"),
    Panel("medium", "4 KiB text, 32 connections", "messages/s", "rate"),
    Panel("large-binary", "64 KiB binary, 8 connections", "MB/s", "throughput"),
    Panel("huge", "1 MiB binary, 4 connections", "MB/s", "throughput"),
    Panel("deflate", "1 KiB JSON, permessage-deflate", "messages/s", "rate"),
    Panel("connect", "connect, one echo, close", "us of server CPU: less is better", "cpu"),
    Panel("idle-memory", "memory of an idle connection", "KiB: less is better", "memory"),
)


def short(value: float) -> str:
    """Return about three digits of a number: 71632 as 71.6 k."""
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:.{0 if value >= 1e5 else 1}f} k"
    return f"{value:,.{0 if value >= 100 else 1}f}"


def colour(name: str) -> str:
    """Return the colour of a server's bar."""
    if name == "wsdriver":
        return OURS
    if name.startswith("wsdriver-"):
        return OURS_TOO
    return BARE if name == "raw-gevent" else PEER


def bars(results: Results, row: Row, panel: Panel) -> list[Bar]:
    """Return the measured servers of a row, the best first."""
    column = Column(panel.column, panel.unit)
    ours = results.value(row, "wsdriver", column)
    found = []
    for name in results.samples.get(row.name, {}):
        value = results.value(row, name, column)
        if value is not None:
            found.append(Bar(name, value, value / ours if ours and name != "wsdriver" else None))
    return sorted(found, key=lambda bar: bar.value, reverse=row.measure.higher_is_better)


def draw(axes: Any, panel: Panel, found: list[Bar]) -> None:
    """Draw one panel, which is 1 wide: names, bars with their figures, ratios."""
    most = max(bar.value for bar in found)
    for at, bar in enumerate(found):
        bare = bar.name == "raw-gevent"
        style = {"weight": "bold" if bar.name == "wsdriver" else "normal", "va": "center", "color": INK}
        axes.text(NAMES - 0.01, at, "TCP echo, no WebSocket" if bare else bar.name, ha="right", **style)
        width, fill = BARS * bar.value / most, colour(bar.name)
        frame = {"edgecolor": FAINT if bare else fill, "hatch": "////" if bare else None, "linewidth": 0.6}
        axes.barh(at, width, left=NAMES, height=0.74, color=fill, clip_on=False, **frame)
        axes.text(NAMES + width + 0.01, at, short(bar.value), **style)
        if bar.ratio is not None:
            shown = f"{bar.ratio:.{2 if bar.ratio >= 0.01 else 3}f}"
            axes.text(1, at, shown, ha="right", va="center", color=FAINT)
    axes.text(0, -1.2, panel.title, weight="bold", size=8.5, color=INK, va="center")
    axes.text(1, -1.2, panel.unit, ha="right", size=7.5, color=FAINT, va="center")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_axis_off()


def write_chart(path: Path, results: Results, rows: list[Row]) -> bool:
    """Write the chart of those rows that have a panel; return False where none of them has a figure.

    Raises:
        ImportError: matplotlib is missing.
    """
    import matplotlib
    from matplotlib.figure import Figure

    known = {row.name: row for row in rows}
    panels = [(panel, bars(results, known[panel.row], panel)) for panel in PANELS if panel.row in known]
    panels = [(panel, found) for panel, found in panels if found]
    if not panels:
        return False
    lines = [panels[at : at + COLUMNS] for at in range(0, len(panels), COLUMNS)]
    wide = (1 - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    heights = [HEAD + BAR * max(len(found) for _, found in line) for line in lines]
    height = TOP + sum(heights) + BOTTOM
    facts = circumstances(results)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        figure.text(
            MARGIN,
            1 - 0.2 / height,
            "Echo servers on one core: wsdriver beside its peers",
            size=12,
            weight="bold",
            color=INK,
            va="center",
        )
        said = (
            f"{facts['date']}, {facts['processor']}, {facts['python']}; "
            f"medians of {facts['runs'].partition(',')[0]}. On the right: the ratio to wsdriver."
        )
        figure.text(MARGIN, 1 - 0.42 / height, said, size=7.5, color=FAINT, va="center")
        top = height - TOP
        for line, room in zip(lines, heights, strict=True):
            for place, (panel, found) in enumerate(line):
                high = BAR * len(found)
                axes = figure.add_axes(
                    (MARGIN + place * (wide + GAP), (top - HEAD - high) / height, wide, high / height)
                )
                draw(axes, panel, found)
            top -= room
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return True
