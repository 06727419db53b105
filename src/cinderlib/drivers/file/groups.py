"""Groups of the driver ``file``, and snapshots of several files at the same moment."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from typing import Any

from cinderlib.drivers.file import loop, sparse
from cinderlib.drivers.file.folder import Folder, explained

#: Attempts to take snapshots of files to which programs write.
_ATTEMPTS = 10
#: Seconds to wait before the next attempt, so that writes can pause.
_PAUSE = 0.05


class Groups:
    """The methods of the driver for groups.

    A group has no representation in the folder. Its snapshots are consistent: none of the files
    changed between the beginning of the first snapshot and the end of the last one.
    """

    _folder: Folder

    def _clone(self, name: str, target: Any, **options: Any) -> None:
        raise NotImplementedError

    def create_group(self, context: Any, group: Any) -> None:
        """Files do not need a group."""

    def update_group(
        self, context: Any, group: Any, add_volumes: Any = None, remove_volumes: Any = None
    ) -> tuple[None, None, None]:
        """Files do not need a group."""
        return None, None, None

    def delete_group(self, context: Any, group: Any, volumes: Sequence[Any]) -> tuple[None, None]:
        """Delete the files of the volumes: all of them, or none if one is in use."""
        paths = [self._folder.free_path(volume.name, "deleted") for volume in volumes]
        for path in paths:
            with explained(f"delete {path}"):
                sparse.remove(path)
        return None, None

    def create_group_snapshot(
        self, context: Any, group_snapshot: Any, snapshots: Sequence[Any]
    ) -> tuple[None, None]:
        """Take the snapshots, again if a file changed meanwhile.

        :raises VolumeDriverException: the writes to the files do not pause.
        """
        sources = [self._folder.path(snapshot.volume_name) for snapshot in snapshots]
        targets = [self._folder.path(snapshot.name) for snapshot in snapshots]
        with explained(f"take group snapshot {group_snapshot.id}"):
            for _ in range(_ATTEMPTS):
                moment = sparse.quiet_since(sources, flush=loop.flush)
                if moment is None:
                    continue
                for snapshot, target in zip(snapshots, targets, strict=True):
                    self._clone(snapshot.volume_name, target, mode=0o400, replace=True)
                if moment == sparse.changed_at(sources, flush=loop.flush):
                    return None, None
                for target in targets:
                    sparse.remove(target)
                time.sleep(_PAUSE)
            raise OSError(
                errno.EBUSY,
                f"the volumes changed during each of {_ATTEMPTS} attempts: pause the writes to"
                " them",
            )

    def delete_group_snapshot(
        self, context: Any, group_snapshot: Any, snapshots: Sequence[Any]
    ) -> tuple[None, None]:
        for snapshot in snapshots:
            path = self._folder.path(snapshot.name)
            with explained(f"delete {path}"):
                sparse.remove(path)
        return None, None
