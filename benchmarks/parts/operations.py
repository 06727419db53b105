"""Operations: their cost with a driver that does nothing, which is the library's share."""

from __future__ import annotations

import contextlib

from benchmarks.bench import BARE, OLD, OURS, RAW, RAW_AND_BARE, SQL, Bench, in_unit
from benchmarks.measure import Figure, ratio
from benchmarks.process import Worker

#: How many times faster than 5.2.0 a step must be on SQLite.
FASTER = {"create": 4, "connect": 4, "disconnect": 4, "get_by_id": 10}
#: How many times longer than the raw transactions a step may take.
OVER_RAW = 1.5
CHANGES = ("create", "connect", "disconnect", "delete")


def run(bench: Bench) -> None:
    for name, make in bench.stores().items():
        with contextlib.ExitStack() as stack:
            workers: dict[str, Worker] = {OURS: bench.library(OURS, make())}
            if bench.old and name in (*SQL, "memory"):
                workers[OLD] = bench.library(OLD, make())
            if name == "memory":
                workers[BARE] = Worker("bare")
            elif name in SQL:
                workers[RAW] = bench.raw(make())
                workers[RAW_AND_BARE] = bench.raw(make(), bare=True)
            for worker in workers.values():
                stack.enter_context(worker)
            found = bench.rounds(
                workers, "cycles", bench.many(25, 8), first=0, count=bench.many(40, 25)
            )
        for step, by in found.items():
            if OURS in by:
                _report(bench, name, step, by)


def _report(bench: Bench, store: str, step: str, by: dict[str, list[Figure]]) -> None:
    figures = {who: in_unit(rounds, 1e6, "µs") for who, rounds in by.items()}
    add, what = bench.results.add, f"{store}: {step}"
    if store == "memory" and BARE in by:
        over = Figure.of(
            [
                (ours.median - bare.median) * 1e6
                for ours, bare in zip(by[OURS], by[BARE], strict=True)
            ],
            "µs",
        )
        add("operations", f"{what}, above the bare call", figures, over, 30)
        return
    if by.keys() == {OURS}:
        add("operations", what, figures)
    if RAW in by and step in CHANGES:
        add("operations", f"{what}, against the raw transactions",
            {who: figures[who] for who in (OURS, RAW)}, ratio(by[OURS], by[RAW]),
            OVER_RAW)  # fmt: skip
        add("operations", f"{what}, against these with the bare calls in between",
            {who: figures[who] for who in (OURS, RAW_AND_BARE)},
            ratio(by[OURS], by[RAW_AND_BARE]))  # fmt: skip
    if OLD in by:
        limit = FASTER.get(step) if store == "SQLite" else None
        add("operations", f"{what}, times faster than 5.2.0",
            {who: figures[who] for who in (OURS, OLD)}, ratio(by[OLD], by[OURS]),
            limit, at_least=True)  # fmt: skip
