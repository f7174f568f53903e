"""What a load has measured: as text, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wsdriver.cli.histogram import Histogram
from wsdriver.green.load import Load, Outcome
from wsdriver.http import without_password

__all__ = ["BUSY", "Report", "duration"]

#: Of one core: from here on it is this program that is measured.
BUSY = 0.9

#: Rows of the picture, and columns of its longest bar.
ROWS = 14
BAR = 40

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


def duration(seconds: float) -> str:
    """Return a time with three digits and its unit."""
    if seconds >= 1:
        return f"{seconds:.3g} s" if seconds < 100 else f"{seconds:.0f} s"
    unit, value = ("ms", seconds * 1e3) if seconds >= 0.0009995 else ("us", seconds * 1e6)
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"


@dataclass(frozen=True)
class Report:
    """A load, and what it has brought.

    Attributes:
        load, outcome: as they are.
        answers: the time that each answer took.
        openings: the time that each connection took to open.
    """

    load: Load
    outcome: Outcome
    answers: Histogram
    openings: Histogram

    @property
    def per_second(self) -> float:
        """Messages: answered ones, or those sent where there are no answers."""
        outcome = self.outcome
        count = outcome.received if self.load.answers else outcome.sent
        return count / outcome.elapsed if outcome.elapsed else 0.0

    @property
    def busy(self) -> float:
        """How much of a core this program has used."""
        return self.outcome.cpu / self.outcome.elapsed if self.outcome.elapsed else 0.0

    @property
    def title(self) -> str:
        """What was done, in a line."""
        load = self.load
        kind = "binary" if isinstance(load.message, bytes) else "text"
        way = "closed loop" if load.rate is None else f"{load.rate:g} messages/s"
        if not load.answers:
            way += ", no answers"
        many = f"{load.connections} connection{'s' if load.connections > 1 else ''}"
        return f"{many}, {len(load.message)} B {kind}, {way}, {self.outcome.elapsed:.1f} s"

    def warnings(self) -> list[str]:
        """Return what a reader of the figures must know."""
        found = []
        if self.busy >= BUSY:
            found.append(
                f"this program used {self.busy:.0%} of its one core: it is the limit, or near it, not the server alone"
            )
        rate = self.load.rate
        if rate is not None and self.outcome.elapsed and self.outcome.sent / self.outcome.elapsed < 0.98 * rate:
            found.append(f"only {self.outcome.sent / self.outcome.elapsed:.0f} of {rate:g} messages/s could be sent")
        return found

    def text(self, blocks: bool = True) -> str:
        """Return it for people.

        Args:
            blocks: whether the characters of Unicode for bars may be used.
        """
        outcome = self.outcome
        lines = [without_password(self.load.url), self.title, ""]
        bytes_each = self.per_second * len(self.load.message)
        flow = f"{bytes_each / 1e6:,.1f} MB/s" if bytes_each >= 1e6 else f"{bytes_each / 1e3:,.1f} kB/s"
        lines.append(f"messages   {self.per_second:,.0f}/s, {flow}{' each way' if self.load.answers else ''}")
        lines.append(f"           {outcome.sent:,} sent, {outcome.received:,} received")
        for name, times in (("latency", self.answers), ("opening", self.openings)):
            if times.count:
                shown = [f"{label} {duration(times.quantile(share))}" for label, share in QUANTILES.items()]
                lines.append(f"{name:<10} {', '.join([*shown, f'max {duration(times.most)}'])}")
        errors = sum(outcome.errors.values())
        lines.append(f"errors     {errors:,}" if errors else "errors     none")
        lines += [f"           {count:,}  {kind}" for kind, count in outcome.errors.most_common()]
        if self.answers.count:
            lines += ["", *self._picture(blocks)]
        warnings = self.warnings()
        return "\n".join([*lines, *([""] if warnings else []), *(f"note: {warning}" for warning in warnings)])

    def _picture(self, blocks: bool) -> list[str]:
        rows = self.answers.rows(ROWS)
        most = max(count for *_, count in rows)
        lines = []
        for _, end, count in rows:
            eighths = round(BAR * 8 * count / most)
            bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip() if blocks else "#" * (eighths // 8)
            share = count / self.answers.count
            lines.append(f"  to {duration(end):>8}  {share:>6.2%}  {bar}".rstrip())
        return lines

    def json(self) -> dict[str, Any]:
        """Return it for programs; times are in milliseconds."""
        load, outcome = self.load, self.outcome
        return {
            "url": without_password(load.url),
            "connections": load.connections,
            "connections_opened": outcome.opened,
            "size": len(load.message),
            "binary": isinstance(load.message, bytes),
            "rate": load.rate,
            "answers": load.answers,
            "seconds": round(outcome.elapsed, 3),
            "interrupted": outcome.interrupted,
            "sent": outcome.sent,
            "received": outcome.received,
            "messages_per_second": round(self.per_second, 1),
            "latency_ms": _times(self.answers),
            "opening_ms": _times(self.openings),
            "histogram_ms": [
                {"from": _ms(low), "to": _ms(high), "count": count} for low, high, count in self.answers.rows(60)
            ],
            "errors": dict(outcome.errors.most_common()),
            "cpu": round(self.busy, 3),
            "warnings": self.warnings(),
        }


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 4)


def _times(times: Histogram) -> dict[str, float] | None:
    if not times.count:
        return None
    quantiles = {label: _ms(times.quantile(share)) for label, share in QUANTILES.items()}
    return {"min": _ms(times.least), "mean": _ms(times.mean), **quantiles, "max": _ms(times.most)}
