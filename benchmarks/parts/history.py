"""History: the cost of the record of each operation.

Processor time depends less on the load of the machine than the time of a clock, in which the
difference of a few percent would be lost. A driver that takes as long as an array is measured with
a clock: the processor is not what its callers wait for.
"""

from __future__ import annotations

from typing import Any

from benchmarks.bench import OURS, Bench, in_unit
from benchmarks.measure import Figure, ratio
from benchmarks.process import Worker

_WITHOUT = "without a history"
_LIMITS = {OURS: 10_000, _WITHOUT: 0}
#: The record takes at most 3 % of an operation.
_MOST = 1.03


def run(bench: Bench) -> None:
    file = {who: {"volume_driver": "file", "file_root": str(bench.new_folder())} for who in _LIMITS}
    slow, null = (
        {who: {"volume_driver": f"benchmarks.nulldriver.{name}"} for who in _LIMITS}
        for name in ("SlowDriver", "NullDriver")
    )
    _compare(bench, "that takes 50 ms to create a volume", slow, bench.many(50, 10), most=_MOST)
    _compare(bench, "`file`", file, bench.many(400, 40), most=_MOST, processor=True)
    _compare(bench, "that does nothing", null, bench.many(400, 40), processor=True)


def _compare(
    bench: Bench,
    driver: str,
    options: dict[str, dict[str, Any]],
    rounds: int,
    *,
    most: float | None = None,
    processor: bool = False,
) -> None:
    found: dict[str, list[Figure]] = {who: [] for who in _LIMITS}
    stores = {who: bench.stores()["SQLite"]() for who in _LIMITS}
    folder = str(bench.new_folder())
    with Worker("history", stores=stores, limits=_LIMITS, folder=folder, options=options) as worker:
        for number in range(rounds + 1):
            answer = worker.ask("cycles", first=2 * number, count=2, processor=processor)
            if number:  # the first round only warms up
                for who, seconds in answer.items():
                    found[who].append(Figure.of(seconds, "s"))
    what = "create, connect, disconnect and delete with the driver"
    bench.results.add(
        "history",
        f"{what} {driver}, {'processor time' if processor else 'time'}",
        {who: in_unit(figures, 1000, "ms") for who, figures in found.items()},
        ratio(found[OURS], found[_WITHOUT]), most,
    )  # fmt: skip
