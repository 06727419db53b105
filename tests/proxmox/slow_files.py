"""Files of an array that needs as much time as a test wants."""

from __future__ import annotations

import pathlib
import time
from typing import Any

from service.cluster_files import ClusterFiles


class SlowFiles(ClusterFiles):
    """Creates, clones and deletes volumes only while there is no file ``wait``."""

    def _wait(self) -> None:
        gate = pathlib.Path(self.configuration.file_root).parent / "wait"
        while gate.exists():
            time.sleep(0.02)

    def create_volume(self, volume: Any) -> Any:
        self._wait()
        return super().create_volume(volume)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> Any:
        self._wait()
        return super().create_cloned_volume(volume, src_vref)

    def delete_volume(self, volume: Any) -> None:
        self._wait()
        super().delete_volume(volume)
