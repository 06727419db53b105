"""Scale: 100,000 volumes."""

from __future__ import annotations

from benchmarks.bench import OLD, OURS, SQL, Bench, in_unit
from benchmarks.measure import Figure, ratio
from benchmarks.process import Worker

#: 5.2.0 needs the same time for each volume of a list, so a shorter list is enough.
OLD_COUNT = 2_000
#: The number of volumes in a small store.
FEW = 100
#: Bytes per volume that a list may need in memory.
HELD = 1024
#: Growth up to this ratio is noise of a busy machine.
NOISE = 1.3


def run(bench: Bench) -> None:
    count = bench.many(100_000, 20_000)
    old: dict[str, Figure] = {}
    for name, make in bench.stores().items():
        if name != "memory":
            with (
                bench.library(OURS, make(), "store") as few,
                bench.library(OURS, make(), "store") as many,
            ):
                few.ask("fill", total=FEW)
                many.ask("fill", total=count)
                _lookups(bench, name, few, many, count)
                ours = _listing(bench, name, many, count)
            if name not in SQL:
                bench.results.add("scale", f"{name}: volumes listed a second", {OURS: ours})
            elif bench.old:
                old[name] = _listing_of_old(bench, make())
                times = Figure.of([ours.median / old[name].median], "times")
                bench.results.add("scale", f"{name}: volumes listed a second",
                                  {OURS: ours, OLD: old[name]}, times, 50,
                                  at_least=True)  # fmt: skip
    _documents(bench, count)


def _lookups(bench: Bench, store: str, few: Worker, many: Worker, count: int) -> None:
    workers = {f"{count:,}": many, f"{FEW}": few}
    found = bench.rounds(workers, "lookups", bench.many(10, 4), count=20)
    for step, by in found.items():
        bench.results.add(
            "scale", f"{store}: {step} among {count:,}, against among {FEW}",
            {who: in_unit(by[who], 1e6, "µs") for who in workers},
            ratio(*[by[who] for who in workers]), NOISE,
        )  # fmt: skip


def _listing(bench: Bench, store: str, worker: Worker, count: int) -> Figure:
    streams = [worker.ask("stream") for _ in range(3)]
    grown = Figure.of([stream["grown"] / 2**20 for stream in streams], "MiB")
    bench.results.add("scale", f"{store}: memory while {count:,} are streamed", {OURS: grown},
                      grown, 8)  # fmt: skip
    lists = [worker.ask("list_all") for _ in range(3)]
    held = Figure.of([worker.ask("hold")], "bytes")
    bench.results.add("scale", f"{store}: memory for each volume of a list that is held",
                      {OURS: held}, held, HELD)  # fmt: skip
    return Figure.of([each["count"] / each["seconds"] for each in lists], "a second")


def _listing_of_old(bench: Bench, store: dict[str, object]) -> Figure:
    with bench.library(OLD, store) as worker:
        worker.ask("create", count=bench.many(OLD_COUNT, 500))
        lists = [worker.ask("list_all") for _ in range(3)]
    return Figure.of([each["count"] / each["seconds"] for each in lists], "a second")


def _documents(bench: Bench, count: int) -> None:
    """Dump and load from memory in one document, where 5.2.0 is fastest; then from a database,
    where cinderlib streams and 5.2.0 uses one document. Each reads its own documents."""
    old = bench.many(OLD_COUNT, 500)
    memory: dict[str, object] = {"storage": "memory"}
    rates = {OURS: _rates(bench, OURS, memory, count // 10)}
    if bench.old:
        rates[OLD] = _rates(bench, OLD, memory, old)
    _compare(bench, "in one piece, from memory", rates)
    rates = {OURS: _streamed(bench, bench.stores()["SQLite"](), count)}
    if bench.old:
        rates[OLD] = _rates(bench, OLD, bench.stores()["SQLite"](), old)
    _compare(bench, "as a stream, from SQLite", rates)


def _compare(bench: Bench, how: str, rates: dict[str, dict[str, Figure]]) -> None:
    for step in ("dump", "load"):
        by = {who: rate[step] for who, rate in rates.items()}
        value = Figure.of([by[OURS].median / by[OLD].median], "times") if OLD in by else None
        title = f"{step} {how}, volumes a second"
        bench.results.add("scale", title, by, value, 20, at_least=True)


def _rates(bench: Bench, who: str, store: dict[str, object], size: int) -> dict[str, Figure]:
    """Volumes written and read per second."""
    path = str(bench.new_folder() / "document")
    with bench.library(who, store) as worker:
        worker.ask("create", count=size)
        times = {step: [worker.ask(step, path=path) for _ in range(5)] for step in ("dump", "load")}
    if store["storage"] != "memory":
        # 5.2.0 caches the volumes in the process that creates them, so new processes read them.
        times["dump"] = []
        for _ in range(3):
            with bench.library(who, store) as worker:
                times["dump"].append(worker.ask("dump", path=path))
    return _a_second(size, times)


def _streamed(bench: Bench, store: dict[str, object], size: int) -> dict[str, Figure]:
    """Volumes written and read per second as a stream, one document a line."""
    path = str(bench.new_folder() / "document")
    with bench.library(OURS, store, "store") as worker:
        worker.ask("fill", total=size)
        times = {
            step: [worker.ask(f"{step}_stream", path=path) for _ in range(3)]
            for step in ("dump", "load")
        }
    return _a_second(size, times)


def _a_second(size: int, times: dict[str, list[float]]) -> dict[str, Figure]:
    return {
        step: Figure.of([size / each for each in seconds], "a second")
        for step, seconds in times.items()
    }
