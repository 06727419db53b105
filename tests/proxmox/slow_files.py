"""Files of an array that needs as much time as a test wants."""

from __future__ import annotations

import pathlib
import time
from typing import Any

from service.cluster_files import ClusterFiles


class SlowFiles(ClusterFiles):
    """Creates, clones and deletes volumes only while there is no file ``wait``, and reports its
    capacity only while there is no file ``mute``."""

    def _wait(self, name: str = "wait") -> None:
        gate = pathlib.Path(self.configuration.file_root).parent / name
        while gate.exists():
            time.sleep(0.02)

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        self._wait("mute")
        stats: dict[str, Any] = super().get_volume_stats(refresh)
        return stats

    def create_volume(self, volume: Any) -> Any:
        self._wait()
        return super().create_volume(volume)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> Any:
        self._wait()
        return super().create_cloned_volume(volume, src_vref)

    def delete_volume(self, volume: Any) -> None:
        self._wait()
        super().delete_volume(volume)
