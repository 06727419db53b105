"""Completes Cinder's RBD driver: names the clients of a busy image, removes leftovers of clones,
manages images and snapshots that already have the right name, lists extents."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from oslo_config import cfg

_log = logging.getLogger(__name__)


def _module(driver: Any) -> Any:
    """Cinder's module, or None if this is another driver."""
    module = sys.modules.get("cinder.volume.drivers.rbd")
    return module if module is not None and isinstance(driver, module.RBDDriver) else None


#: Bytes of an image that one list of extents covers.
_REACH = 16 << 30


def is_rbd(driver: Any) -> bool:
    """Whether it is Cinder's RBD driver."""
    return _module(driver) is not None


def extents(
    driver: Any, image: str, snapshot: str | None, since: str | None, offset: int
) -> tuple[list[tuple[int, int, bool]], int]:
    """The extents with data of an image or a snapshot, or those that changed after an older
    snapshot.

    :returns: offset, length and whether there is data, for each; and the end of the answer.
    """
    found: list[tuple[int, int, bool]] = []

    def add(start: int, length: int, exists: bool) -> None:
        found.append((start, length, bool(exists)))

    module = _module(driver)
    with module.RBDVolumeProxy(driver, image, snapshot=snapshot, read_only=True) as opened:
        end = min(offset + _REACH, opened.size())
        if offset < end:
            opened.diff_iterate(offset, end - offset, since, add)
    return found, end


def clients(driver: Any, name: str) -> list[str]:
    """The clients that have a volume open, as the storage identifies them; empty if unknown.

    :param name: name of the volume on the storage.
    """
    module = _module(driver)
    if module is None:
        return []
    try:
        with module.RBDVolumeProxy(driver, name, read_only=True) as image:
            return [
                f"client.{watcher['id']} ({watcher['addr']}) has it open"
                for watcher in image.watchers_list()
            ]
    except Exception as error:
        # The driver's error is more important.
        _log.debug("The clients of image %s are not known: %s", name, error)
        return []


def has_name_already(driver: Any, obj: Any, reference: Mapping[str, Any]) -> bool:
    """Whether an existing image or snapshot has the name that it would get. Ceph refuses a rename
    to the same name, and Cinder's driver renames without a check.

    :param obj: Cinder's object of the volume or snapshot.
    """
    return _module(driver) is not None and reference.get("source-name") == obj.name


def manage_volume(driver: Any, volume: Any) -> Any:
    """Manage an image that already has its name: the steps of the driver after the rename.

    :returns: the driver's model update.
    """
    return driver._setup_volume(volume)


def manage_snapshot(driver: Any, snapshot: Any) -> None:
    """The same for a snapshot."""
    module = _module(driver)
    with module.RBDVolumeProxy(driver, snapshot.volume_name) as image:
        if not image.is_protected_snap(snapshot.name):
            image.protect_snap(snapshot.name)


def release_source(driver: Any, volume: Any) -> None:
    """Remove the snapshot from which a deleted volume was cloned.

    The driver clones from a hidden snapshot of the source, ``<clone>.clone_snap``. It renames a
    deleted volume with such snapshots to ``<volume>.deleted``, to remove it with its last clone.
    But Cinder 29 only does this for a clone that it could not remove at once, so that both
    snapshots and deleted sources would stay forever. A repeated call has no effect.

    :param volume: Cinder's object of the deleted volume.
    """
    module = _module(driver)
    if module is None or volume.source_volid is None:
        return
    source = cfg.CONF.volume_name_template % volume.source_volid
    snapshot = f"{volume.name}.clone_snap"
    try:
        with module.RADOSClient(driver) as client:
            images = module.rbd.RBD().list(client.ioctx)
            # A volume that has clones itself still depends on its source.
            if volume.name in images or f"{volume.name}.deleted" in images:
                return
            for name in {source, f"{source}.deleted"} & set(images):
                with module.RBDVolumeProxy(driver, name, ioctx=client.ioctx) as image:
                    known = any(snap["name"] == snapshot for snap in image.list_snaps())
                if known:
                    driver._delete_clone_parent_refs(client, name, snapshot)
    except Exception as error:
        # The volume is deleted. Only space is lost.
        _log.warning("Snapshot %s of image %s was not removed: %s", snapshot, source, error)
