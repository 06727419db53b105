"""Attach: the library's time in addition to creating the device."""

from __future__ import annotations

import contextlib
import os

from benchmarks.bench import OLD, OURS, Bench, in_unit
from benchmarks.measure import Figure, times
from benchmarks.process import Worker
from cinderlib.node import loop

#: Milliseconds in addition to creating the device.
LIMIT = 5


def run(bench: Bench) -> None:
    device = bench.new_folder() / "device"
    device.touch()
    os.truncate(device, 2**30)
    environment = {"BENCH_DEVICE": str(device)}
    rounds, count = bench.many(10, 4), 5
    bare: list[Figure] = []
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for who in [OURS] + ([OLD] if bench.old else []):
            store = bench.stores()["SQLite"]()
            workers[who] = stack.enter_context(bench.library(who, store, environment=environment))
        found: dict[str, dict[str, list[Figure]]] = {}
        for _ in range(rounds):
            for step, by in bench.rounds(workers, "attaches", 1, count=count).items():
                for who, figures in by.items():
                    found.setdefault(step, {}).setdefault(who, []).extend(figures)
            bare.append(Figure.of(times(lambda: _device(str(device)), count), "s"))
    _report(bench, found, bare)


def _device(file: str) -> None:
    """The work of the kernel to attach a file."""
    if os.geteuid() == 0:
        loop.remove(loop.create(file, read_only=False), file)


def _report(bench: Bench, found: dict[str, dict[str, list[Figure]]], bare: list[Figure]) -> None:
    both = {
        who: [
            Figure.of([attach.median + detach.median], "s")
            for attach, detach in zip(found["attach"][who], found["detach"][who], strict=True)
        ]
        for who in found["attach"]
    }
    added = Figure.of(
        [(ours.median - alone.median) * 1000 for ours, alone in zip(both[OURS], bare, strict=True)],
        "ms",
    )
    figures = {who: in_unit(rounds, 1000, "ms") for who, rounds in both.items()}
    figures["the device"] = in_unit(bare, 1000, "ms")
    bench.results.add(
        "attach", "attach and detach of a local file, above what the device takes", figures, added,
        2 * LIMIT,
    )  # fmt: skip
