"""Threads on a driver that takes its time, and processes on one store."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from benchmarks.bench import OLD, OURS, Bench
from benchmarks.measure import Figure

PROCESSES = 4
THREADS = 32


def run(bench: Bench) -> None:
    _threads(bench)
    for name, make in bench.stores().items():
        if name != "memory":
            _processes(bench, name, make)


def _threads(bench: Bench) -> None:
    seconds = bench.many(4, 2)
    for name, make in bench.stores().items():
        with bench.library(OURS, make(), driver="SlowDriver") as worker:
            worker.ask("threads", count=THREADS, seconds=0.2)
            one = Figure.of([worker.ask("threads", count=1, seconds=seconds)], "a second")
            many = Figure.of([worker.ask("threads", count=THREADS, seconds=seconds)], "a second")
        times = Figure.of([many.median / one.median], "times")
        bench.results.add("concurrency", f"{name}: {THREADS} threads, a driver that takes 50 ms",
                          {f"{THREADS} threads": many, "1 thread": one}, times, 28,
                          at_least=True)  # fmt: skip


def _processes(bench: Bench, name: str, make: Any) -> None:
    rates: dict[str, Figure] = {}
    worst: dict[str, Figure] = {}
    for who in [OURS] + ([OLD] if bench.old else []):
        loops = _loops(bench, who, make(), bench.many(6, 3))
        seconds = max(sum(loop) for loop in loops)
        rates[who] = Figure.of([sum(len(loop) for loop in loops) / seconds], "a second")
        worst[who] = Figure.of([max(max(loop) for loop in loops) * 1000], "ms")
        if who == OURS:
            shares = [len(loop) for loop in loops]
            least = Figure.of([min(shares) / max(shares)], "of the most")
            bench.results.add("concurrency", f"{name}: {PROCESSES} processes, the least cycles"
                              " that one got", {OURS: least})  # fmt: skip
    value: Figure | None = None
    longest: Figure | None = None
    if OLD in rates:
        value = Figure.of([rates[OURS].median / rates[OLD].median], "times")
        longest = Figure.of([worst[OURS].median / worst[OLD].median], "times")
    bench.results.add("concurrency", f"{name}: {PROCESSES} processes, cycles a second", rates,
                      value, 5 if name == "SQLite" else 4, at_least=True)  # fmt: skip
    bench.results.add("concurrency", f"{name}: {PROCESSES} processes, the worst cycle", worst,
                      longest, 1 / 4 if name == "SQLite" else None)  # fmt: skip


def _loops(bench: Bench, who: str, store: Any, seconds: int) -> list[list[float]]:
    with contextlib.ExitStack() as stack:
        # One after the other: 5.2.0 fails when several make the tables of one database at once.
        workers, folder = [], bench.new_folder()
        for _ in range(PROCESSES):
            worker = stack.enter_context(bench.library(who, store, folder=folder))
            worker.ask("loop", until=time.time() + 0.2)
            workers.append(worker)
        until = time.time() + seconds
        for worker in workers:
            worker.tell("loop", until=until)
        return [worker.answer() for worker in workers]
