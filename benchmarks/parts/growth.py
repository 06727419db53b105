"""Growth: the cost of an operation by the number of existing resources."""

from __future__ import annotations

from benchmarks.bench import OURS, Bench
from benchmarks.measure import Figure

NOISE = 1.5


def run(bench: Bench) -> None:
    _volumes(bench)
    for what in ("snapshots", "connections"):
        _children(bench, what, bench.many(100_000, 1_000))


def _volumes(bench: Bench) -> None:
    totals = [100, 1_000, 10_000] + ([] if bench.quick else [100_000])
    points: dict[str, list[tuple[float, float]]] = {}
    with bench.library(OURS, bench.stores()["SQLite"](), "store") as worker:
        for total in totals:
            worker.ask("fill", total=total)
            steps = dict(worker.ask("lookups", count=30))
            steps |= worker.ask("cycles", first=0, count=30)
            for step, seconds in steps.items():
                points.setdefault(step, []).append((total, Figure.of(seconds, "s").median * 1e6))
    _add(bench, "volumes in the store", points)


def _children(bench: Bench, what: str, most: int) -> None:
    points: dict[str, list[tuple[float, float]]] = {}
    others = {"snapshots": 0, "connections": 0}
    with bench.library(OURS, bench.stores()["SQLite"](), "store") as worker:
        total = 1
        while total <= most:
            for step, seconds in worker.ask("grow", count=20, **{**others, what: total}).items():
                if ("snapshot" in step) == (what == "snapshots"):
                    points.setdefault(step, []).append(
                        (total, Figure.of(seconds, "s").median * 1e6)
                    )
            total *= 10
    _add(bench, f"{what} of one volume", points)


def _add(bench: Bench, plot: str, points: dict[str, list[tuple[float, float]]]) -> None:
    for step, line in points.items():
        bench.results.curve(plot, step, iter(line))
        first, last = line[0], line[-1]
        value = Figure.of([last[1] / first[1]], "times")
        figures = {
            f"{last[0]:,.0f}": Figure.of([last[1]], "µs"),
            f"{first[0]:,.0f}": Figure.of([first[1]], "µs"),
        }
        bench.results.add("growth", f"{step} by {plot}", figures, value, NOISE)
