"""Times in a histogram of fixed size: each is known to half a percent, however many there are."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Histogram"]

#: Times are counted in tenths of a microsecond.
UNIT = 1e-7

#: Each power of two has so many parts: 128, as a shift.
_PARTS = 7

#: How wide the rows of a picture may be: the ratio of a row's ends.
_RATIOS = (2**0.125, 2**0.25, 2**0.5, 2.0, 4.0, 16.0)


class Histogram:
    """Counts times.

    Attributes:
        count: of all.
        least, most: seconds, exactly; 0 where there are none.
    """

    def __init__(self) -> None:
        self._counts = [0] * (48 << _PARTS)
        self._sum = 0.0
        self.count = 0
        self.least = 0.0
        self.most = 0.0

    def record(self, seconds: float) -> None:
        """Count one."""
        units = int(seconds / UNIT)
        # The first bits of the number, and how many follow them; below 256 they are the number.
        shift = units.bit_length() - _PARTS - 1
        self._counts[units if shift <= 0 else (shift << _PARTS) + (units >> shift)] += 1
        self._sum += seconds
        if seconds > self.most:
            self.most = seconds
        if seconds < self.least or not self.count:
            self.least = seconds
        self.count += 1

    @property
    def mean(self) -> float:
        """The arithmetic mean, in seconds; 0 where there are none."""
        return self._sum / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """Return the time that so much of all are no longer than, in seconds: 0.5 for the median."""
        rank = share * self.count
        seen = 0
        for time, count in self._filled():
            seen += count
            if seen >= rank:
                return min(max(time, self.least), self.most)
        return self.most

    def rows(self, most_rows: int) -> list[tuple[float, float, int]]:
        """Return from, to and count of a few ranges, equally wide on a logarithmic scale."""
        if not self.count:
            return []
        for ratio in _RATIOS:
            rows = self._rows_of(ratio, most_rows)
            if rows is not None:
                return rows
        return [(self.least, self.most, self.count)]

    def _rows_of(self, ratio: float, most_rows: int) -> list[tuple[float, float, int]] | None:
        low = self.least
        rows = [(low, low * ratio, 0)] if low > 0 else [(0.0, UNIT, 0)]
        for time, count in self._filled():
            while time > rows[-1][1]:
                if len(rows) == most_rows:
                    return None
                rows.append((rows[-1][1], rows[-1][1] * ratio, 0))
            begin, end, before = rows[-1]
            rows[-1] = (begin, end, before + count)
        return rows

    def _filled(self) -> Iterator[tuple[float, int]]:
        for place, count in enumerate(self._counts):
            if count:
                shift = (place >> _PARTS) - 1
                first, width = (place, 1) if shift <= 0 else ((place - (shift << _PARTS)) << shift, 1 << shift)
                yield (first + width / 2) * UNIT, count
