"""Placement: the time to choose a backend and pool for 1,000 volumes and create their records."""

from __future__ import annotations

import time

import cinderlib as cl
from benchmarks.bench import Bench
from benchmarks.measure import Figure

_BACKENDS = 3
#: Accepted seconds for 1,000 volumes.
_LIMIT = 1.0


def run(bench: Bench) -> None:
    driver = "benchmarks.nulldriver.NullDriver"
    with cl.Controller(state_path=bench.new_folder()) as controller:
        for number in range(_BACKENDS):
            controller.backend(f"b{number}", volume_driver=driver, extra_capabilities='{"t": "x"}')
        controller.create_type("t", extra_specs={"t": "x"})
        controller.create_volume(1, type="t")  # loads Cinder's scheduler
        rounds = []
        for _ in range(bench.many(5, 2)):
            begin = time.perf_counter()
            for _ in range(1000):
                controller.create_volume(1, type="t")
            rounds.append(time.perf_counter() - begin)
    figure = Figure.of(rounds, "s")
    what = f"1,000 volumes of a type on {_BACKENDS} backends"
    bench.results.add("placement", what, {"cinderlib": figure}, figure, _LIMIT)
