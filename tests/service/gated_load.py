"""A driver whose load waits for the test."""

from __future__ import annotations

import os
import pathlib
import time

from cinderlib.drivers.file.driver import FileDriver


class GatedLoad(FileDriver):
    """Creates the file ``$GATE.reached``, and then waits for the file ``$GATE``."""

    def check_for_setup_error(self) -> None:
        super().check_for_setup_error()
        gate = os.environ.get("GATE")
        if gate is not None:
            pathlib.Path(f"{gate}.reached").touch()
            while not pathlib.Path(gate).exists():
                time.sleep(0.02)
