"""What iSCSI and Fibre Channel have in common: SCSI disks, and how to tell whose they are."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Any

from cinderlib.errors import DeviceUnavailable
from cinderlib.node import block
from cinderlib.node.brick import BrickConnector

#: Larger logical unit numbers are seen by the kernel in one of several encodings.
_MAX_PLAIN_LUN = 255


class ScsiConnector(BrickConnector):
    """A volume that comes as SCSI disks, one for each path."""

    @property
    def luns(self) -> frozenset[int]:
        """The logical unit numbers of the volume."""
        data = self.document.data
        values = [data.get("target_lun"), *(data.get("target_luns") or [])]
        return frozenset(int(value) for value in values if value is not None)

    @abc.abstractmethod
    def foreign_target(self, disk: Path) -> str | None:
        """The target that a disk comes from when the connection does not name it.

        :param disk: what sysfs shows as the disk's SCSI device.
        """

    def identify(self, device: dict[str, Any]) -> None:
        super().identify(device)
        path: str = device["path"]
        seen = block.traces(path)
        folders = [block.SYS / "block" / trace.name / "device" for trace in seen]
        disks = [folder.resolve() for folder in folders if (folder / "scsi_device").exists()]
        wwids = {wwid for disk in disks if (wwid := block.read(disk / "wwid"))}
        if len(wwids) > 1:
            raise self._wrong(path, f"leads to different volumes: {', '.join(sorted(wwids))}")
        uuid = block.read(block.SYS / "block" / seen[0].name / "dm" / "uuid") or ""
        expected = device.get("multipath_id")
        if expected and uuid.startswith("mpath-") and uuid != f"mpath-{expected}":
            raise self._wrong(path, f"is the map of {uuid[6:]}, and not of {expected}")
        for disk in disks:
            lun = int(disk.name.rpartition(":")[2])
            if lun not in self.luns and max(lun, *self.luns) <= _MAX_PLAIN_LUN:
                raise self._wrong(path, f"is the unit {lun}, and not one of {sorted(self.luns)}")
            if target := self.foreign_target(disk):
                raise self._wrong(path, f"comes from {target}, which the connection does not name")

    def _wrong(self, path: str, reason: str) -> DeviceUnavailable:
        return DeviceUnavailable(f"{path} {reason}.", resource=self.document.id)
