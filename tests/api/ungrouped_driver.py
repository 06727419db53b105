"""A driver without groups, whose snapshots and copies can fail."""

from __future__ import annotations

from typing import Any

from cinder import exception
from cinder.volume import driver

from cinderlib.drivers.file.driver import FileDriver


class Ungrouped(FileDriver):
    """Has no groups.

    :cvar fails_at: the ID of a volume of which no snapshot can be taken.
    :cvar fails_to_copy: the name of a volume that cannot be created as a copy.
    """

    fails_at = ""
    fails_to_copy = ""

    def create_group(self, context: Any, group: Any) -> None:
        raise NotImplementedError

    create_group_from_src = driver.VolumeDriver.create_group_from_src

    def create_snapshot(self, snapshot: Any) -> None:
        if snapshot.volume.id == self.fails_at:
            raise exception.VolumeDriverException("out of order")
        super().create_snapshot(snapshot)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        self._refuse(volume)
        super().create_volume_from_snapshot(volume, snapshot)

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        self._refuse(volume)
        super().create_cloned_volume(volume, src_vref)

    def _refuse(self, volume: Any) -> None:
        if volume.display_name == self.fails_to_copy:
            raise exception.VolumeDriverException("out of order")
