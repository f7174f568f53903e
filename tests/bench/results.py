"""What was measured, and what it says about the targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from tests.bench.measures import Column, Sample, Settings
from tests.bench.rows import Row, Target


@dataclass(frozen=True)
class Verdict:
    """A target and what was reached of it; None where one of the two was not measured, or where nothing is demanded.

    It is judged as it is shown, with two digits.
    """

    row: Row
    target: Target
    measured: float | None

    def _holds(self, bound: float | None) -> bool | None:
        if bound is None or self.measured is None:
            return None
        shown = round(self.measured, 2)
        return shown >= bound if self.row.measure.higher_is_better else shown <= bound

    @property
    def reached(self) -> bool | None:
        """Whether what is demanded was reached."""
        return self._holds(self.target.bound)

    @property
    def aim_reached(self) -> bool | None:
        """Whether what we aim at was reached."""
        return self._holds(self.target.aim)

    @property
    def falls_short(self) -> bool:
        """Whether it was measured and missed."""
        return self.reached is False

    def in_words(self, bound: float) -> str:
        """Return a bound with what it is a bound of."""
        unit = f"x {self.target.peer}" if self.target.peer else self.row.measure.columns[0].unit
        return f"{'at least' if self.row.measure.higher_is_better else 'at most'} {bound:g} {unit}"


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

    def ratio(self, row: Row, ours: str, theirs: str) -> float | None:
        """Return the median of the ratios, run by run: what slows the machine down for a while slows both sides."""
        samples = self.samples.get(row.name, {})
        name = row.measure.columns[0].name
        pairs = zip(
            samples.get(ours, ()), samples.get(theirs, ()), strict=False
        )  # a server may have failed in a later run
        ratios = [one[name] / other[name] for one, other in pairs if other[name]]
        return median(ratios) if ratios else None

    def verdict(self, row: Row, target: Target) -> Verdict:
        """Judge ours, or ours against the peer's."""
        measured = self.ratio(row, target.ours, target.peer) if target.peer else self.value(row, target.ours)
        return Verdict(row, target, measured)

    def verdicts(self, rows: list[Row]) -> list[Verdict]:
        """Judge all targets of some rows."""
        return [self.verdict(row, target) for row in rows for target in row.targets]
