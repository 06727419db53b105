"""The embedded driver: a Cinder volume driver for files in a folder."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from cinder import exception
from cinder.volume import configuration, driver, volume_utils
from oslo_config import cfg

from cinderlib.drivers.file import extents, loop, provisioning, root, sparse
from cinderlib.drivers.file.adoption import Adoption
from cinderlib.drivers.file.folder import GIB, Folder, explained
from cinderlib.drivers.file.groups import Groups
from cinderlib.drivers.file.migration import Migration
from cinderlib.locking import state_folder

logger = logging.getLogger(__name__)

#: Seconds between two log lines about one copy.
_REPORT_EVERY = 5

file_opts = [
    cfg.StrOpt(
        "file_root",
        help="Absolute path of the folder for volumes and snapshots, one sparse file each. It is "
        "created, private to its owner, if it does not exist. Several processes can use one "
        "folder at the same time. On XFS and btrfs, snapshots and clones take no time and no "
        "space; on other filesystems their data is copied.",
    ),
]
cfg.CONF.register_opts(file_opts, group=configuration.SHARED_CONF_GROUP)


class FileDriver(Adoption, Migration, Groups, driver.VolumeDriver):  # type: ignore[misc]
    """Volumes as sparse files in a folder, for the host of that folder.

    A volume is the file ``volume-<id>``, a snapshot the file ``snapshot-<id>``. The files do not
    depend on each other: each can be deleted at any time. A file with its final name is complete.

    A snapshot or clone of an attached volume is crash-consistent. If the filesystem cannot share
    extents, writes to the volume must pause during the copy; otherwise the driver fails after
    several attempts.
    """

    VERSION = "1.0.0"
    #: Processes do not need a lock: names are unique, and a file gets its name when it is complete.
    SUPPORTS_ACTIVE_ACTIVE = True
    #: Connections have no network protocol, so only this host can use them.
    host_limited = True
    #: See :mod:`cinderlib.drivers.abilities`. Files do not depend on each other.
    complete_listings = frozenset({"volume", "snapshot"})
    keeps_newer_snapshots = True
    uses_name_id = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(file_opts)
        #: Called with the number of copied bytes and the total. Users of the driver can replace it.
        self.on_progress: sparse.Progress = lambda done, total: None

    @staticmethod
    def get_driver_options() -> list[cfg.Opt]:
        return file_opts

    @staticmethod
    def check_options(options: configuration.Configuration) -> None:
        """Check the options without the storage, as :meth:`do_setup` does.

        :raises InvalidParameterValue: an option is missing or has an invalid value.
        """
        problem = root.problem(options.safe_get("file_root"))
        if problem is not None:
            raise exception.InvalidParameterValue(err=problem)

    def do_setup(self, context: Any) -> None:
        """Create the folder, and remove incomplete files that killed processes left in it."""
        self.check_options(self.configuration)
        path = self.configuration.safe_get("file_root")
        self._folder = Folder(Path(path))
        with explained(f"use {path} as file_root"):
            state_folder.make(self._folder.root)
            for name in sparse.abandoned(self._folder.root, remove=True):
                logger.info("Removed incomplete file %s from %s: its process died", name, path)
            self._reflink = sparse.can_reflink(self._folder.root)
            mode = self._folder.root.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            logger.warning("Other users can write to the folder of the volumes: chmod 700 %s", path)

    def check_for_setup_error(self) -> None:
        """:meth:`do_setup` has already used the folder."""

    # --- volumes and snapshots -----------------------------------------------------------------

    def create_volume(self, volume: Any) -> None:
        self._create(volume, sparse.create)

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> None:
        self._create(volume, lambda path, size: self._clone(snapshot.name, path, size=size))

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> None:
        self._create(volume, lambda path, size: self._clone(src_vref.name, path, size=size))

    def delete_volume(self, volume: Any) -> None:
        path = self._folder.free_path(volume.name, "deleted")
        with explained(f"delete {path}"):
            sparse.remove(path)

    def extend_volume(self, volume: Any, new_size: int) -> None:
        path = self._folder.path(volume.name)
        with explained(f"extend {path} to {new_size} GiB"):
            size = path.stat().st_size
            if size > new_size * GIB:
                raise exception.ExtendVolumeError(
                    reason=f"{path} has {size} bytes, more than {new_size} GiB"
                )
            sparse.extend(path, new_size * GIB)
            if provisioning.is_thick_volume(volume):
                provisioning.allocate(path)

    def retype(
        self, context: Any, volume: Any, new_type: Any, diff: dict[str, Any], host: dict[str, Any]
    ) -> tuple[bool, None]:
        """Change a volume to thin or thick. Other specs have no effect, so they are accepted."""
        path = self._folder.path(volume.name)
        thick = provisioning.is_thick(new_type.extra_specs or {})
        if thick == provisioning.is_thick(_former(diff)):
            return True, None
        with explained(f"retype {path}"):
            if thick:
                provisioning.allocate(path)
            elif volume.attach_status == "attached":
                raise exception.VolumeIsBusy(
                    f"{path} cannot become thin while it is attached, because a program could"
                    " write to it"
                )
            else:
                provisioning.release(path)
        return True, None

    def create_snapshot(self, snapshot: Any) -> None:
        path = self._folder.path(snapshot.name)
        with explained(f"create snapshot {path}"), contextlib.suppress(FileExistsError):
            self._clone(snapshot.volume_name, path, mode=0o400)

    def delete_snapshot(self, snapshot: Any) -> None:
        path = self._folder.path(snapshot.name)
        with explained(f"delete {path}"):
            sparse.remove(path)

    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None:
        path = self._folder.free_path(volume.name, "reverted")
        with explained(f"revert {path} to {snapshot.name}"):
            self._clone(snapshot.name, path, size=path.stat().st_size, replace=True)

    def local_path(self, volume: Any) -> str:
        return str(self._folder.path(volume.name))

    # --- connections ---------------------------------------------------------------------------

    def validate_connector(self, connector: dict[str, Any]) -> None:
        """Refuse all other hosts."""
        here, host = socket.gethostname(), connector.get("host")
        if not host:
            raise exception.InvalidConnectorException(missing="host")
        if host != here:
            raise exception.InvalidConnectorException(
                f"The volumes in {self._folder.root} are files of host {here}, and host {host} "
                "cannot reach them: attach on that host, or use a driver with a network protocol"
            )

    def create_export(self, context: Any, volume: Any, connector: dict[str, Any]) -> None:
        """Files do not need an export."""

    def ensure_export(self, context: Any, volume: Any) -> None:
        """Files do not need an export."""

    def remove_export(self, context: Any, volume: Any) -> None:
        """Files do not have an export."""

    def initialize_connection(
        self, volume: Any, connector: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        """Return the file as a ``local`` device; ``size`` is in bytes."""
        self.validate_connector(connector)
        path = self._folder.path(volume.name)
        with explained(f"connect {path}"):
            size = path.stat().st_size
        return {
            "driver_volume_type": "local",
            "data": {"device_path": str(path), "volume_id": volume.id, "size": size},
        }

    def terminate_connection(self, volume: Any, connector: Any, **kwargs: Any) -> None:
        """The driver does not open the file, so it does not need to close it."""

    def create_export_snapshot(
        self, context: Any, snapshot: Any, connector: dict[str, Any]
    ) -> None:
        """Files do not need an export."""

    def remove_export_snapshot(self, context: Any, snapshot: Any) -> None:
        """Files do not have an export."""

    def initialize_connection_snapshot(
        self, snapshot: Any, connector: dict[str, Any], **kwargs: Any
    ) -> dict[str, Any]:
        """Return the file of a snapshot, which nobody may write."""
        return self.initialize_connection(snapshot, connector)

    def terminate_connection_snapshot(self, snapshot: Any, connector: Any, **kwargs: Any) -> None:
        """The driver does not open the file, so it does not need to close it."""

    # --- the backend as a whole ----------------------------------------------------------------

    def exists_in_storage(self, name: str) -> bool:
        """Whether a volume or snapshot with this name is in the folder."""
        return self._folder.path(name).is_file()

    def extents(
        self, name: str, since: str | None, offset: int
    ) -> tuple[list[tuple[int, int, bool]], int]:
        """The ranges of a volume or snapshot with data, or those that changed after a snapshot; see
        :mod:`cinderlib.drivers.extents`."""
        path = self._folder.path(name)
        with explained(f"list the extents of {path}"), sparse.opened(path) as fd:
            loop.flush(path)
            end = min(offset + extents.REACH, os.fstat(fd).st_size)
            if since is None:
                parts = ((each, True) for each in extents.data(fd, offset, end))
                return _lengths(parts), end
            with sparse.opened(self._folder.path(since)) as before:
                return _lengths(extents.changed(before, fd, offset, end)), end

    def leftovers(self, *, remove: bool = False) -> list[str]:
        """Incomplete files that killed processes left."""
        with explained(f"list {self._folder.root}"):
            return sparse.abandoned(self._folder.root, remove=remove)

    def get_pool(self, volume: Any) -> str:
        return self._name

    @property
    def _name(self) -> str:
        return self.configuration.safe_get("volume_backend_name") or "file"

    def _update_volume_stats(self) -> None:
        option = self.configuration.safe_get
        with explained(f"read {self._folder.root}"):
            total, free = sparse.space(self._folder.root)
            files, volumes = dict(self._folder.files()), dict(self._folder.volumes())
        pool = {
            "pool_name": self._name,
            "location_info": self._location(),
            "total_capacity_gb": total / GIB,
            "free_capacity_gb": free / GIB,
            "allocated_capacity_gb": sum(volumes.values()) / GIB,
            "provisioned_capacity_gb": sum(files.values()) / GIB,
            "total_volumes": len(volumes),
            "reserved_percentage": option("reserved_percentage"),
            "max_over_subscription_ratio": volume_utils.get_max_over_subscription_ratio(
                option("max_over_subscription_ratio"), supports_auto=True
            ),
            "thin_provisioning_support": True,
            "thick_provisioning_support": True,
            "online_extend_support": True,
            "QoS_support": False,
            "multiattach": False,
            "consistent_group_snapshot_enabled": True,
            "reflink": self._reflink,
            "filter_function": self.get_filter_function(),
            "goodness_function": self.get_goodness_function(),
        }
        self._stats = {
            "volume_backend_name": self._name,
            "vendor_name": "cinderlib",
            "driver_version": self.VERSION,
            "storage_protocol": "local",
            "pools": [pool],
        }

    # --- internal ------------------------------------------------------------------------------

    def _create(self, volume: Any, make: Callable[[Path, int], None]) -> None:
        """Create the volume's file, unless an earlier call has created it."""
        path, size = self._folder.path(volume.name), volume.size * GIB
        thick = provisioning.is_thick_volume(volume)
        with explained(f"create {path} with {volume.size} GiB"):
            try:
                make(path, size)
            except FileExistsError:
                found = path.stat().st_size
                if found != size:
                    raise exception.VolumeDriverException(
                        f"Cannot create {path} with {size} bytes: it already exists with {found}"
                    ) from None
            if thick:
                provisioning.allocate(path)

    def _clone(self, name: str, target: Path, **options: Any) -> None:
        source = self._folder.path(name)
        reported = time.monotonic()

        def progress(done: int, total: int) -> None:
            nonlocal reported
            self.on_progress(done, total)
            if time.monotonic() - reported > _REPORT_EVERY:
                reported = time.monotonic()
                logger.info("Copied %d of %d MiB to %s", done >> 20, total >> 20, target.name)

        sparse.clone(source, target, flush=lambda: loop.flush(source), progress=progress, **options)


def _former(diff: dict[str, Any]) -> dict[str, str]:
    """The extra specs before a retype."""
    return {key: old for key, (old, _) in diff["extra_specs"].items() if old is not None}


def _lengths(parts: Iterable[tuple[extents.Range, bool]]) -> list[tuple[int, int, bool]]:
    return [(each.start, each.end - each.start, has_data) for each, has_data in parts]
