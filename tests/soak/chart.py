"""The chart of the endings: a process's memory before, at half time and after, for each kind, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench.chart import FAINT, INK, OURS, OURS_TOO, STYLE, WIDTH
from tests.soak.endings import Outcome

NAME = "endings.svg"
#: Inches.
LINE, HEAD, FOOT = 0.17, 0.75, 0.4
#: Share of the width where the names end, and where the scale does.
LEFT, RIGHT = 0.3, 0.97
#: Marker, its area, its colour and name: before, at half time, after.
MARKS = (("o", 30, FAINT, "before"), ("D", 50, OURS_TOO, "after half of them"), ("o", 12, OURS, "after all"))


def write_chart(path: Path, outcomes: list[Outcome]) -> None:
    """Write the chart.

    Raises:
        ImportError: matplotlib is missing.
    """
    import matplotlib
    from matplotlib.figure import Figure

    height = HEAD + LINE * len(outcomes) + FOOT
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        title: Any = {"x": 0.015, "va": "center", "color": INK}
        figure.text(
            y=1 - 0.2 / height, s="Memory of a process in which connections end", size=12, weight="bold", **title
        )
        counts = sorted({each.connections for each in outcomes})
        said = f"{counts[-1]:,} connections" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,} connections"
        said += " made and ended in turn for each line, both ends in the process. Resident memory, MiB."
        figure.text(**title | {"y": 1 - 0.42 / height, "s": said, "size": 7.5, "color": FAINT})
        axes = figure.add_axes((LEFT, FOOT / height, RIGHT - LEFT, LINE * len(outcomes) / height))
        for at, each in enumerate(outcomes):
            axes.plot(each.resident, [at] * 3, color=FAINT, linewidth=0.5, zorder=1)
        for place, (mark, area, colour, name) in enumerate(MARKS):
            values = [each.resident[place] for each in outcomes]
            axes.scatter(values, range(len(outcomes)), area, colour, marker=mark, label=name, zorder=2)
        axes.set_yticks(range(len(outcomes)), [f"{each.title}, {each.side}" for each in outcomes], color=INK)
        axes.set_ylim(len(outcomes) - 0.5, -0.5)
        axes.set_xlim(0, 1.1 * max(max(each.resident) for each in outcomes))
        axes.tick_params(length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="x", linewidth=0.3)
        figure.legend(loc="upper right", ncols=3, frameon=False, bbox_to_anchor=(RIGHT, 1 - 0.5 / height), borderpad=0)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
