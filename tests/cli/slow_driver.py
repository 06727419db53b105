"""A driver whose operations wait for the test."""

from __future__ import annotations

import itertools
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from cinderlib.drivers.file.driver import FileDriver

GIB = 1024**3


class SlowDriver(FileDriver):
    """Creates the file ``$GATE.reached``, and then waits for the file ``$GATE``."""

    def create_volume(self, volume: Any) -> None:
        super().create_volume(volume)
        for _ in _until_gate():
            pass

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        for step in _until_gate():
            self.on_progress(GIB + step * 1024**2, 4 * GIB)
        super().create_cloned_volume(volume, src_vref)


def _until_gate() -> Iterator[int]:
    gate = os.environ.get("GATE")
    if gate is None:
        return
    pathlib.Path(f"{gate}.reached").touch()
    for step in itertools.count():
        if pathlib.Path(gate).exists():
            return
        yield step
        time.sleep(0.02)
