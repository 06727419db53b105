"""A driver with volumes that are qcow2 files while they have snapshots, as on NFS."""

from __future__ import annotations

from typing import Any

from cinderlib.drivers.file.driver import FileDriver


class Qcow2Driver(FileDriver):
    """The files stay raw: they show whether a program writes to them."""

    def get_volume_stats(self, refresh: bool = False) -> dict[str, Any]:
        return {**super().get_volume_stats(refresh), "storage_protocol": "NFS"}

    def initialize_connection(self, volume: Any, connector: Any, **kwargs: Any) -> dict[str, Any]:
        info: dict[str, Any] = super().initialize_connection(volume, connector, **kwargs)
        info["data"]["format"] = "qcow2" if volume.snapshots else "raw"
        return info
