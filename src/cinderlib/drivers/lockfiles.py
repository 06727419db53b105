"""Removes the lock files of deleted volumes and snapshots.

Cinder tries all possible file names, and acquires an in-process lock for each. This took a third of
the time of a deletion, although few drivers use such locks. Therefore Cinder's function is called
only if a file exists or the driver overrides the method.
"""

from __future__ import annotations

import os
from typing import Any

from cinder import utils
from cinder.volume import driver as base
from oslo_config import cfg

#: Names of the lock files of a volume and of a snapshot.
OF_VOLUME = ("cinder-{}-delete_volume", "cinder-{}", "cinder-{}-detach_volume")
OF_SNAPSHOT = ("cinder-{}-delete_snapshot",)


class LockFiles:
    """The lock files of a driver.

    :param driver: the driver, after its setup, which determines the folder of the locks.
    """

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._folder = cfg.CONF.oslo_concurrency.lock_path or ""
        self._of_volumes = _is_own(driver, "clean_volume_file_locks")
        self._of_snapshots = _is_own(driver, "clean_snapshot_file_locks")

    def remove_of_volume(self, volume_id: str) -> None:
        """Remove the lock files of a deleted volume."""
        if self._of_volumes or self._any(OF_VOLUME, volume_id):
            utils.clean_volume_file_locks(volume_id, self._driver)

    def remove_of_snapshot(self, snapshot_id: str) -> None:
        """Remove the lock files of a deleted snapshot."""
        if self._of_snapshots or self._any(OF_SNAPSHOT, snapshot_id):
            utils.clean_snapshot_file_locks(snapshot_id, self._driver)

    def _any(self, names: tuple[str, ...], id: str) -> bool:
        return any(os.access(f"{self._folder}/{name.format(id)}", os.F_OK) for name in names)


def _is_own(driver: Any, method: str) -> bool:
    """Whether a driver overrides the method of Cinder's base class, which does nothing."""
    method_of_driver = getattr(getattr(driver, method, None), "__func__", None)
    return method_of_driver is not getattr(base.BaseVD, method).__func__
