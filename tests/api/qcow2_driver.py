"""A driver with volumes that are qcow2 files while they have snapshots, as on NFS."""

from __future__ import annotations

from typing import Any

from cinderlib.drivers.file.driver import FileDriver


class Qcow2Driver(FileDriver):
    """The files stay raw: they show whether a program writes to them."""

    def initialize_connection(self, volume: Any, connector: Any, **kwargs: Any) -> dict[str, Any]:
        info: dict[str, Any] = super().initialize_connection(volume, connector, **kwargs)
        info["data"]["format"] = "qcow2" if volume.snapshots else "raw"
        return info
