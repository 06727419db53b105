"""Measured figures and their spread."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Figure:
    """The result of several runs.

    :ivar unit: of all values.
    :ivar low: the first quartile.
    :ivar high: the third quartile.
    :ivar runs: the number of values.
    """

    median: float
    low: float
    high: float
    runs: int
    unit: str

    @classmethod
    def of(cls, values: Sequence[float], unit: str) -> Figure:
        """Summarize values."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0], 1, unit)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values), unit)

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.low)} to {shown(self.high)}) {self.unit}"


def shown(value: float) -> str:
    """A number with three significant digits."""
    if not value:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"


def ratio(ones: Sequence[Figure], others: Sequence[Figure], unit: str = "times") -> Figure:
    """Divide each figure by the other figure of the same round.

    Both are measured right after each other, so that other load on the machine affects both.
    """
    return Figure.of([a.median / b.median for a, b in zip(ones, others, strict=True)], unit)


def calibrate() -> float:
    """Milliseconds for a constant loop. Its variation shows how quiet the machine is."""
    start = time.perf_counter()
    total = 0
    for number in range(400_000):
        total += number % 7
    return (time.perf_counter() - start) * 1000


def times(work: Callable[[], object], count: int) -> list[float]:
    """Seconds for each of ``count`` calls."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found
