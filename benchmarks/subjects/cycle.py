"""The life of a volume, timed step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

Step = tuple[str, Callable[[], Any]]

CONNECTOR = {
    "host": "bench",
    "ip": "192.0.2.1",
    "initiator": "iqn.2016-04.com.example:bench",
    "platform": "x86_64",
    "os_type": "linux",
    "multipath": False,
}


def timed(
    cycle: Callable[[int], Iterator[Step]],
    first: int,
    count: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds for each step of ``count`` cycles, by the step's name.

    :param clock: ``time.process_time`` measures processor time.
    """
    found: dict[str, list[float]] = {}
    for number in range(first, first + count):
        for name, step in cycle(number):
            start = clock()
            step()
            found.setdefault(name, []).append(clock() - start)
    return found
