"""History: the processor time for the record of each operation.

The rounds with and without a history alternate. Processor time depends less on the load of the
machine than the time of a clock, in which the difference of a few percent would be lost.
"""

from __future__ import annotations

import contextlib

from benchmarks.bench import OURS, Bench, in_unit
from benchmarks.measure import ratio
from benchmarks.process import Worker

_WITHOUT = "without a history"
#: With the embedded driver, the record takes at most 3 % of it.
_MOST = 1.03


def run(bench: Bench) -> None:
    file = {"volume_driver": "file", "file_root": str(bench.new_folder())}
    null = {"volume_driver": "benchmarks.nulldriver.NullDriver"}
    for name, options, most in (("`file`", file, _MOST), ("that does nothing", null, None)):
        with contextlib.ExitStack() as stack:
            workers: dict[str, Worker] = {
                who: stack.enter_context(
                    bench.library(
                        OURS, bench.stores()["SQLite"](), "history", options=options, limit=limit
                    )
                )
                for who, limit in ((OURS, 10_000), (_WITHOUT, 0))
            }
            # Short rounds, so that other load affects both.
            rounds = bench.many(400, 40)
            found = bench.rounds(workers, "cycles", rounds, first=0, count=2)["four operations"]
        bench.results.add(
            "history",
            f"create, connect, disconnect and delete with the driver {name}, processor time",
            {who: in_unit(figures, 1000, "ms") for who, figures in found.items()},
            ratio(found[OURS], found[_WITHOUT]), most,
        )  # fmt: skip
