"""Order statistics: medians and quartiles, because one disturbed sample must not move a row."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, quartiles and extremes of some samples."""

    median: float
    q1: float
    q3: float
    min: float
    max: float

    @staticmethod
    def of(samples: Iterable[float]) -> "Spread | None":
        """`None` for no samples."""
        ordered = sorted(samples)
        if not ordered:
            return None
        q1, median, q3 = (_quantile(ordered, at) for at in (0.25, 0.5, 0.75))
        return Spread(median, q1, q3, ordered[0], ordered[-1])

    @property
    def iqr_percent(self) -> float:
        """Distance between the quartiles in percent of the median: how far to trust the row."""
        return (self.q3 - self.q1) / self.median * 100.0 if self.median else 0.0


def _quantile(ordered: list[float], at: float) -> float:
    """Linear interpolation between the two nearest."""
    position = at * (len(ordered) - 1)
    below, above = math.floor(position), math.ceil(position)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)
