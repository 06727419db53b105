"""Concurrency: threads with a slow driver, and processes that share a store."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.bench import OLD, OURS, SQL, Bench
from benchmarks.measure import Figure, ratio
from benchmarks.process import Worker

PROCESSES = 4
#: Rounds in which all are measured in turn. Concurrent work varies much between rounds.
ROUNDS = 5
THREADS = 32


def run(bench: Bench) -> None:
    _threads(bench)
    for name, make in bench.stores().items():
        if name != "memory":
            _processes(bench, name, make)


def _threads(bench: Bench) -> None:
    seconds = bench.many(4, 2)
    for name, make in bench.stores().items():
        many, one = [], []
        with bench.library(OURS, make(), driver="SlowDriver") as worker:
            worker.ask("threads", count=THREADS, seconds=0.2)
            for _ in range(ROUNDS):
                for count, found in ((1, one), (THREADS, many)):
                    rate = worker.ask("threads", count=count, seconds=seconds / 2)
                    found.append(Figure.of([rate], "a second"))
        figures = {f"{THREADS} threads": _all(many), "1 thread": _all(one)}
        bench.results.add("concurrency", f"{name}: {THREADS} threads, a driver that takes 50 ms",
                          figures, ratio(many, one), 28, at_least=True)  # fmt: skip


def _processes(bench: Bench, name: str, make: Any) -> None:
    rates: dict[str, list[Figure]] = {}
    worst: dict[str, list[Figure]] = {}
    least: list[float] = []
    with contextlib.ExitStack() as stack:
        workers = {
            who: _workers(bench, who, make(), stack)
            for who in [OURS] + ([OLD] if bench.old and name in SQL else [])
        }
        for _ in range(ROUNDS):
            for who, some in workers.items():
                loops = _loops(some, bench.many(3, 1))
                seconds = max(sum(loop) for loop in loops)
                made = sum(len(loop) for loop in loops) / seconds
                rates.setdefault(who, []).append(Figure.of([made], "a second"))
                longest = max(max(loop) for loop in loops) * 1000
                worst.setdefault(who, []).append(Figure.of([longest], "ms"))
                if who == OURS:
                    shares = [len(loop) for loop in loops]
                    least.append(min(shares) / max(shares))
    what = f"{name}: {PROCESSES} processes"
    share = {OURS: Figure.of(least, "of the most")}
    bench.results.add("concurrency", f"{what}, the least cycles that one got", share)
    for title, by, limit, at_least in (
        ("cycles a second", rates, 5 if name == "SQLite" else 4, True),
        ("the worst cycle", worst, 1 / 4 if name == "SQLite" else None, False),
    ):
        value = ratio(by[OURS], by[OLD]) if OLD in by else None
        figures = {who: _all(found) for who, found in by.items()}
        bench.results.add("concurrency", f"{what}, {title}", figures, value, limit,
                          at_least=at_least)  # fmt: skip


def _all(rounds: Sequence[Figure]) -> Figure:
    return Figure.of([each.median for each in rounds], rounds[0].unit)


def _workers(bench: Bench, who: str, store: Any, stack: contextlib.ExitStack) -> list[Worker]:
    # In sequence: 5.2.0 fails if several processes create a database's tables at the same time.
    workers, folder = [], bench.new_folder()
    for _ in range(PROCESSES):
        worker = stack.enter_context(bench.library(who, store, folder=folder))
        worker.ask("loop", until=time.time() + 0.2)
        workers.append(worker)
    return workers


def _loops(workers: Sequence[Worker], seconds: int) -> list[list[float]]:
    """The times of each worker's cycles, in seconds."""
    until = time.time() + seconds
    for worker in workers:
        worker.send("loop", until=until)
    return [worker.answer() for worker in workers]
