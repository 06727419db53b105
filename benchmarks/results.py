"""The results of a run: figures by name, and whether the limits are met."""

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

#: For each plot and each line: its points.
Curves = dict[str, dict[str, list[tuple[float, float]]]]


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    :ivar part: the part of the run.
    :ivar what: the measurement.
    :ivar figures: by compared subject.
    :ivar value: compared with the limit: a ratio, or a figure of cinderlib.
    :ivar limit: the highest accepted value, or the lowest if ``at_least``; ``None`` for no limit.
    """

    part: str
    what: str
    figures: dict[str, Figure]
    value: Figure | None = None
    limit: float | None = None
    at_least: bool = False

    @property
    def kept(self) -> bool | None:
        """Whether the limit is met; ``None`` without a limit."""
        if self.value is None or self.limit is None:
            return None
        if self.at_least:
            return self.value.median >= self.limit
        return self.value.median <= self.limit


class Results:
    """All rows and curves of a run, and how quiet the machine was."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.curves: Curves = {}
        self.calibration: list[float] = []
        #: The load average of one minute.
        self.load: list[float] = []
        self.started = time.time()

    def add(self, *arguments: Any, **named: Any) -> None:
        """Add a row; the arguments are those of :class:`Row`."""
        row = Row(*arguments, **named)
        self.rows.append(row)
        figures = ", ".join(f"{who} {figure}" for who, figure in row.figures.items())
        value = "" if row.value is None else f" -> {row.value}"
        verdict = {None: "", True: " met", False: " MISSED"}[row.kept]
        print(f"{row.part}: {row.what}: {figures}{value}{verdict}", flush=True)

    def curve(self, plot: str, line: str, points: Iterator[tuple[float, float]]) -> None:
        """Add a line to a plot."""
        self.curves.setdefault(plot, {})[line] = list(points)

    def record_machine_load(self) -> None:
        """Record the load of the machine and run the calibration loop."""
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
    """The machine and software of this run."""
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) // 2**20
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memory_gib": memory,
    }
