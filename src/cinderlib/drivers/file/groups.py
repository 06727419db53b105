"""Groups of the driver ``file``, and snapshots of several files at the same moment."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from typing import Any

from cinderlib.drivers.file import loop, provisioning, sparse
from cinderlib.drivers.file.folder import GIB, Folder, explained

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

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
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
        sources = [snapshot.volume_name for snapshot in snapshots]
        targets = [(snapshot.name, {"mode": 0o400}) for snapshot in snapshots]
        with explained(f"take group snapshot {group_snapshot.id}"):
            self._clone_at_one_moment(sources, targets)
        return None, None

    def delete_group_snapshot(
        self, context: Any, group_snapshot: Any, snapshots: Sequence[Any]
    ) -> tuple[None, None]:
        for snapshot in snapshots:
            path = self._folder.path(snapshot.name)
            with explained(f"delete {path}"):
                sparse.remove(path)
        return None, None

    def create_group_from_src(
        self,
        context: Any,
        group: Any,
        volumes: Sequence[Any],
        group_snapshot: Any = None,
        snapshots: Sequence[Any] | None = None,
        source_group: Any = None,
        source_vols: Sequence[Any] | None = None,
    ) -> tuple[None, None]:
        """Create the volumes from snapshots, or as clones of the same moment.

        :raises VolumeDriverException: the writes to the cloned files do not pause.
        """
        if source_vols is None:
            for volume, snapshot in zip(volumes, snapshots or (), strict=True):
                self.create_volume_from_snapshot(volume, snapshot)
            return None, None
        thick = [each.name for each in volumes if provisioning.is_thick_volume(each)]
        targets = [(volume.name, {"size": volume.size * GIB}) for volume in volumes]
        with explained(f"clone group {source_group.id}"):
            self._clone_at_one_moment([source.name for source in source_vols], targets)
            for name in thick:
                provisioning.allocate(self._folder.path(name))
        return None, None

    def _clone_at_one_moment(
        self, names: Sequence[str], targets: Sequence[tuple[str, dict[str, Any]]]
    ) -> None:
        """Clone files, again if one changed meanwhile.

        :param names: of the files.
        :param targets: names and options of the copies, in the same order.
        """
        sources = [self._folder.path(name) for name in names]
        for _ in range(_ATTEMPTS):
            moment = sparse.quiet_since(sources, flush=loop.flush)
            if moment is None:
                continue
            for name, (target, options) in zip(names, targets, strict=True):
                self._clone(name, self._folder.path(target), replace=True, **options)
            if moment == sparse.changed_at(sources, flush=loop.flush):
                return
            for target, _ in targets:
                sparse.remove(self._folder.path(target))
            time.sleep(_PAUSE)
        raise OSError(
            errno.EBUSY,
            f"the volumes changed during each of {_ATTEMPTS} attempts: pause the writes to them",
        )
