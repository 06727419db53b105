"""What a run found: figures by name, and whether the limits are kept."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import platform
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.measure import Figure, calibrate

#: By plot and by line: its points.
Curves = dict[str, dict[str, list[tuple[float, float]]]]


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    :ivar part: the part of the run.
    :ivar what: what was measured.
    :ivar figures: of those who are compared, by who it is.
    :ivar value: what the limit is about: a ratio, or a figure of ours.
    :ivar limit: what it may be at the most, or at the least where ``at_least``; ``None`` where
        nothing is named.
    """

    part: str
    what: str
    figures: dict[str, Figure]
    value: Figure | None = None
    limit: float | None = None
    at_least: bool = False

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept."""
        if self.value is None or self.limit is None:
            return None
        if self.at_least:
            return self.value.median >= self.limit
        return self.value.median <= self.limit


class Results:
    """All rows of a run, what varies with a size, and how quiet the machine was."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.curves: Curves = {}
        self.calibration: list[float] = []
        #: Processes that wanted a core, on average over a minute.
        self.load: list[float] = []
        self.started = time.time()

    def add(self, *arguments: Any, **named: Any) -> None:
        """Add a row; the arguments are those of :class:`Row`."""
        row = Row(*arguments, **named)
        self.rows.append(row)
        told = ", ".join(f"{who} {figure}" for who, figure in row.figures.items())
        value = "" if row.value is None else f" -> {row.value}"
        verdict = {None: "", True: " met", False: " MISSED"}[row.kept]
        print(f"{row.part}: {row.what}: {told}{value}{verdict}", flush=True)

    def curve(self, plot: str, line: str, points: Iterator[tuple[float, float]]) -> None:
        """Add a line to a plot."""
        self.curves.setdefault(plot, {})[line] = list(points)

    def look_at_the_machine(self) -> None:
        """Run the calibration loop, and see who else is at work."""
        self.load.append(os.getloadavg()[0])
        self.calibration += [calibrate() for _ in range(5)]

    def write(self, path: pathlib.Path) -> None:
        """Write everything as JSON."""
        path.write_text(
            json.dumps(
                {
                    "machine": machine(),
                    "seconds": round(time.time() - self.started),
                    "load": self.load,
                    "calibration_ms": dataclasses.asdict(Figure.of(self.calibration, "ms")),
                    "rows": [{**dataclasses.asdict(row), "kept": row.kept} for row in self.rows],
                    "curves": self.curves,
                },
                indent=1,
            )
            + "\n"
        )


def machine() -> dict[str, Any]:
    """What it was measured on."""
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) // 2**20
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memory_gib": memory,
    }
