"""A report as a picture: SVG without anything else, which follows the reader's light or dark."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

from wsdriver.cli.report import Report, duration
from wsdriver.http import without_password

__all__ = ["svg"]

WIDTH, HEIGHT = 800, 380
LEFT, RIGHT, TOP, BOTTOM = 24, 24, 122, 44

STYLE = """\
text{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:#59636e}
.title{font-size:17px;font-weight:600;fill:#1b1f24}.big{font-size:15px;font-weight:600;fill:#1b1f24}
.paper{fill:#fff}.bar{fill:#1d5fbf}.axis{stroke:#c3c9d1}.mark{stroke:#b3541e;stroke-dasharray:3 3}.named{fill:#b3541e}
.wrong{fill:#b3261e}
@media(prefers-color-scheme:dark){text{fill:#9aa4af}.title,.big{fill:#e8ebee}.paper{fill:#14171a}.bar{fill:#5b9bf0}
.axis{stroke:#3a4149}.mark{stroke:#f0a06a}.named{fill:#f0a06a}.wrong{fill:#ff8a80}}
"""

#: Bars at most.
BARS = 60

#: Pixels that the name of a mark, and of a tick, needs.
MARK, TICK = 30, 52


def svg(report: Report) -> str:
    """Return the picture: a bar for each range of latency, on a logarithmic scale."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        _text(LEFT, 32, without_password(report.load.url), "title"),
        _text(LEFT, 52, report.title),
        *_figures(report),
        *(_bars(report) if report.answers.count else [_text(LEFT, TOP + 80, "no answers were measured")]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named} text-anchor="{anchor}">{escape(text)}</text>'


def _figures(report: Report) -> list[str]:
    errors = sum(report.outcome.errors.values())
    times = report.answers
    shown = [("messages/s", f"{report.per_second:,.0f}", "big")]
    if times.count:
        quantiles = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
        shown += [(name, duration(times.quantile(share)), "big") for name, share in quantiles]
        shown.append(("max", duration(times.most), "big"))
    shown.append(("errors", f"{errors:,}", "big wrong" if errors else "big"))
    step = (WIDTH - LEFT - RIGHT) / len(shown)
    parts = []
    for place, (name, value, kind) in enumerate(shown):
        parts += [_text(LEFT + place * step, 82, value, kind), _text(LEFT + place * step, 98, name)]
    return parts


def _bars(report: Report) -> list[str]:
    times = report.answers
    rows = times.rows(BARS)
    low, high = max(rows[0][0], 1e-7), rows[-1][1]
    scale = (WIDTH - LEFT - RIGHT) / math.log(high / low)

    def x_of(seconds: float) -> float:
        return LEFT + scale * math.log(max(seconds, low) / low)

    floor = HEIGHT - BOTTOM
    most = max(count for *_, count in rows)
    parts = []
    for begin, end, count in rows:
        if count:
            # One of a million is to be seen, too.
            high_of = max((floor - TOP - 18) * count / most, 1.5)
            x = x_of(begin)
            parts.append(
                f'<rect class="bar" x="{x:.1f}" y="{floor - high_of:.1f}" width="{max(x_of(end) - x - 1, 1):.1f}" '
                f'height="{high_of:.1f}"><title>{duration(begin)} to {duration(end)}: {count:,}</title></rect>'
            )
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>')
    parts += _ticks(low, high, x_of, floor)
    last = -math.inf
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        x = x_of(times.quantile(share))
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor}"/>')
        if x - last >= MARK:
            parts.append(_text(x + 3, TOP + 8, name, "named"))
            last = x
    parts.append(_text(WIDTH - RIGHT, HEIGHT - 8, "latency; the scale is logarithmic", anchor="end"))
    return parts


def _ticks(low: float, high: float, x_of: Callable[[float], float], floor: float) -> list[str]:
    parts = []
    last = -math.inf
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for digit in (1, 2, 5):
            seconds = digit * 10.0**exponent
            if low <= seconds <= high:
                x = x_of(seconds)
                parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 5}"/>')
                if x - last >= TICK:
                    parts.append(_text(x, floor + 19, _round(seconds), anchor="middle"))
                    last = x
    return parts


def _round(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 0.999:
            return f"{seconds * factor:g} {unit}"
    return f"{seconds * 1e6:g} us"
