"""Scale: 100,000 volumes."""

from __future__ import annotations

from benchmarks.bench import OLD, OURS, Bench, in_unit
from benchmarks.measure import Figure, ratio
from benchmarks.process import Worker

#: 5.2.0 takes the same time for each volume of a list, so a shorter list of its says as much.
OLD_COUNT = 2_000
#: How many bytes a volume of a list that is held may take.
HELD = 1024
#: What passes for no growth: the noise of a busy machine.
NOISE = 1.3


def run(bench: Bench) -> None:
    count = bench.many(100_000, 20_000)
    old: dict[str, Figure] = {}
    for name, make in bench.stores().items():
        if name != "memory":
            with bench.library(OURS, make(), "store") as worker:
                _lookups(bench, name, worker, count)
                ours = _listing(bench, name, worker, count)
            if bench.old:
                old[name] = _listing_of_old(bench, make())
                times = Figure.of([ours.median / old[name].median], "times")
                bench.results.add("scale", f"{name}: volumes listed a second",
                                  {OURS: ours, OLD: old[name]}, times, 50,
                                  at_least=True)  # fmt: skip
    _documents(bench, count)


def _lookups(bench: Bench, store: str, worker: Worker, count: int) -> None:
    few: dict[str, list[Figure]] = {}
    many: dict[str, list[Figure]] = {}
    rounds = bench.many(10, 4)
    for total, found in ((100, few), (count, many)):
        worker.ask("fill", total=total)
        by = bench.rounds({OURS: worker}, "lookups", rounds, count=20)
        found.update({step: figures[OURS] for step, figures in by.items()})
    for step in many:
        bench.results.add(
            "scale", f"{store}: {step} among {count:,}, against among 100",
            {f"{count:,}": in_unit(many[step], 1e6, "µs"), "100": in_unit(few[step], 1e6, "µs")},
            ratio(many[step], few[step]), NOISE,
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
    """From memory, where 5.2.0 is fastest, and each reads what it wrote itself."""
    rates: dict[str, dict[str, Figure]] = {"dumps": {}, "load": {}}
    path = str(bench.new_folder() / "document")
    for who in [OURS] + ([OLD] if bench.old else []):
        size = bench.many(OLD_COUNT, 500) if who == OLD else count // 10
        with bench.library(who, {"storage": "memory"}) as worker:
            worker.ask("create", count=size)
            for step in ("dump", "load"):
                seconds = [worker.ask(step, path=path) for _ in range(5)]
                rates["dumps" if step == "dump" else step][who] = Figure.of(
                    [size / each for each in seconds], "a second"
                )
    for step, by in rates.items():
        value = Figure.of([by[OURS].median / by[OLD].median], "times") if OLD in by else None
        bench.results.add("scale", f"{step}, volumes a second", by, value, 20, at_least=True)
    with bench.library(OURS, bench.stores()["SQLite"](), "store") as worker:
        worker.ask("fill", total=count)
        for step in ("dump_stream", "load_stream"):
            rate = Figure.of([count / worker.ask(step, path=path)], "a second")
            bench.results.add("scale", f"{step.partition('_')[0]} as a stream, from SQLite,"
                              " volumes a second", {OURS: rate})  # fmt: skip
