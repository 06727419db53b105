"""A driver without groups, whose snapshots can fail."""

from __future__ import annotations

from typing import Any

from cinder import exception

from cinderlib.drivers.file.driver import FileDriver


class Ungrouped(FileDriver):
    """Has no groups.

    :cvar fails_at: the ID of a volume of which no snapshot can be taken.
    """

    fails_at = ""

    def create_group(self, context: Any, group: Any) -> None:
        raise NotImplementedError

    def create_snapshot(self, snapshot: Any) -> None:
        if snapshot.volume.id == self.fails_at:
            raise exception.VolumeDriverException("out of order")
        super().create_snapshot(snapshot)
