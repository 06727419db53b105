"""A driver that runs in this process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cinder import exception

from cinderlib.drivers import (
    abilities,
    connection_info,
    failures,
    listing,
    rbd,
    scope,
    stats,
    translate,
)
from cinderlib.drivers.calling import ConvertingCall
from cinderlib.drivers.extents import ExtentsDriver
from cinderlib.drivers.grouping import GroupingDriver
from cinderlib.drivers.lockfiles import LockFiles
from cinderlib.drivers.managing import ManagingDriver
from cinderlib.drivers.migrating import MigratingDriver
from cinderlib.drivers.port import TASKS
from cinderlib.drivers.port_values import DriverInfo, Listing
from cinderlib.drivers.replicating import ReplicatingDriver
from cinderlib.drivers.retyping import RetypingDriver
from cinderlib.drivers.scope import Scope
from cinderlib.errors import InvalidState
from cinderlib.locking.backend_lock import BackendLock
from cinderlib.progress import Listener, Progress
from cinderlib.records import (
    ConnectionRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

_log = logging.getLogger(__name__)


class LocalDriver(
    ManagingDriver,
    MigratingDriver,
    ExtentsDriver,
    RetypingDriver,
    GroupingDriver,
    ReplicatingDriver,
):
    """:class:`cinderlib.drivers.port.Driver` for a driver object of this process.

    :param driver: the driver, after its setup.
    :param context: the request context of all calls.
    :param release: releases the scope and the option group of the driver.
    :param lock: held during each call, if the driver does not support concurrent processes.
    :param progress: receives the progress of the driver, if it has an attribute ``on_progress``:
        a function that it calls with the number of bytes done and the total.
    """

    def __init__(
        self,
        driver: Any,
        scope: Scope,
        info: DriverInfo,
        context: Any,
        release: Callable[[], None],
        lock: BackendLock | None = None,
        progress: Listener | None = None,
    ) -> None:
        self._driver = driver
        self._scope = scope
        self._info = info
        self._context = context
        self._lock_files = LockFiles(driver)
        self._connection_defaults = connection_info.ConnectionDefaults.of(driver.configuration)
        self._release: Callable[[], None] | None = release
        self._lock = lock
        self._progress = progress
        self._size_limits: dict[str, int | None] | None = None
        if progress is not None and hasattr(driver, "on_progress"):
            driver.on_progress = self._progressed

    @property
    def info(self) -> DriverInfo:
        return self._info

    # --- volumes

    def create_volume(self, volume: VolumeRecord) -> VolumeRecord:
        with self._calling(TASKS["create_volume"], volume) as call:
            obj = translate.volume(self._context, volume)
            update = self._driver.create_volume(obj)
            return self._created(translate.fold(call, volume, obj, update))

    def create_volume_from_snapshot(
        self, volume: VolumeRecord, snapshot: SnapshotRecord
    ) -> VolumeRecord:
        with self._calling(TASKS["create_volume_from_snapshot"], volume, snapshot) as call:
            obj = translate.volume(self._context, volume)
            source = translate.snapshot(self._context, snapshot)
            if volume.type_name is not None:
                original = self._scope.store.get(VolumeRecord, snapshot.volume_id)
                if original is not None:
                    source = self._snapshot(snapshot, original)
            update = self._driver.create_volume_from_snapshot(obj, source)
            return self._created(translate.fold(call, volume, obj, update))

    def create_cloned_volume(self, volume: VolumeRecord, source: VolumeRecord) -> VolumeRecord:
        with self._calling(TASKS["create_cloned_volume"], volume, source) as call:
            obj = translate.volume(self._context, volume)
            update = self._driver.create_cloned_volume(obj, translate.volume(self._context, source))
            return self._created(translate.fold(call, volume, obj, update))

    def delete_volume(self, volume: VolumeRecord) -> None:
        with self._calling(TASKS["delete_volume"], volume):
            obj = translate.volume(self._context, volume)
            try:
                self._driver.delete_volume(obj)
            except exception.VolumeNotFound:
                pass
            except exception.VolumeIsBusy as busy:
                users = ", ".join(rbd.clients(self._driver, obj.name))
                if users:
                    raise exception.VolumeIsBusy(f"{busy}: {users}") from busy
                raise
            rbd.release_source(self._driver, obj)
            self._lock_files.remove_of_volume(volume.id)

    def extend_volume(self, volume: VolumeRecord, new_size: int) -> VolumeRecord:
        with self._calling(TASKS["extend_volume"], volume) as call:
            obj = translate.volume(self._context, volume)
            try:
                self._driver.extend_volume(obj, new_size)
            except exception.TargetUpdateFailed as error:
                # Cinder's manager continues too: the volume is already larger.
                _log.warning(
                    "Volume %s was extended to %d GiB, but its target still exports the old size:"
                    " disconnect the volume and connect it again, or let the target read the size"
                    " again (%s)",
                    *(volume.id, new_size, failures.text(error, self._info.secrets)),
                )
            return replace(translate.fold(call, volume, obj), size=new_size)

    # --- snapshots

    def create_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> SnapshotRecord:
        with self._calling(TASKS["create_snapshot"], snapshot, volume) as call:
            obj = self._snapshot(snapshot, volume)
            update = self._driver.create_snapshot(obj)
            return translate.fold(call, snapshot, obj, update)

    def delete_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None:
        with self._calling(TASKS["delete_snapshot"], snapshot, volume):
            with contextlib.suppress(exception.SnapshotNotFound):
                self._driver.delete_snapshot(self._snapshot(snapshot, volume))
            self._lock_files.remove_of_snapshot(snapshot.id)

    def revert_to_snapshot(self, volume: VolumeRecord, snapshot: SnapshotRecord) -> VolumeRecord:
        with self._calling(TASKS["revert_to_snapshot"], volume, snapshot) as call:
            # Half of Cinder's drivers have no such method, not even one that raises.
            revert = getattr(self._driver, "revert_to_snapshot", None)
            if revert is None:
                raise NotImplementedError("the driver has no revert_to_snapshot()")
            obj = translate.volume(self._context, volume)
            source = translate.snapshot(self._context, snapshot, obj)
            revert(self._context, obj, source)
            return translate.fold(call, volume, obj)

    # --- connections

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        with self._calling(TASKS["validate_connector"]):
            self._driver.validate_connector(translate.plain(connector))

    def create_export(self, volume: VolumeRecord, connector: Mapping[str, Any]) -> VolumeRecord:
        with self._calling(TASKS["create_export"], volume) as call:
            obj = translate.volume(self._context, volume)
            update = self._driver.create_export(self._context, obj, translate.plain(connector))
            return translate.fold(call, volume, obj, update)

    def ensure_export(self, volume: VolumeRecord) -> VolumeRecord:
        with self._calling(TASKS["ensure_export"], volume) as call:
            obj = translate.volume(self._context, volume)
            update = self._driver.ensure_export(self._context, obj)
            return translate.fold(call, volume, obj, update)

    def initialize_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord
    ) -> dict[str, Any]:
        with self._calling(TASKS["initialize_connection"], volume, connection):
            obj = translate.volume(self._context, volume)
            connector = translate.plain(connection.connector)
            answer = translate.plain(self._driver.initialize_connection(obj, connector))
            try:
                return connection_info.complete(
                    answer, volume, connection, self._connection_defaults
                )
            except ValueError:
                # The driver has already mapped it.
                with contextlib.suppress(Exception):
                    self._driver.terminate_connection(obj, connector, force=True)
                raise

    def terminate_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord, *, force: bool = False
    ) -> bool:
        with self._calling(TASKS["terminate_connection"], volume, connection):
            shared = self._driver.terminate_connection(
                translate.volume(self._context, volume),
                translate.plain(connection.connector),
                force=force,
            )
            return shared is True

    def remove_export(self, volume: VolumeRecord) -> VolumeRecord:
        with self._calling(TASKS["remove_export"], volume) as call:
            obj = translate.volume(self._context, volume)
            update = self._driver.remove_export(self._context, obj)
            return translate.fold(call, volume, obj, update)

    # --- the backend as a whole

    def stats(self, *, refresh: bool = False) -> dict[str, Any]:
        with self._calling(TASKS["stats"]):
            answer = translate.plain(self._driver.get_volume_stats(refresh=refresh))
            report = stats.with_pools(answer, self._scope.backend, self._driver)
        self._size_limits = {pool["pool_name"]: stats.size_limit(pool) for pool in report["pools"]}
        return report

    def size_limit(self, volume: VolumeRecord, size: int) -> int | None:
        pool = volume.host.partition("#")[2]
        if self._size_limits is None:
            self.stats()
        limit = (self._size_limits or {}).get(pool)
        if limit is not None and size > limit:
            self.stats(refresh=True)  # the pool may have been extended
            limit = (self._size_limits or {}).get(pool)
        return limit

    def extends_connected(self, volume: VolumeRecord) -> bool:
        reported = self.stats()
        name = volume.host.partition("#")[2]
        pools = {pool["pool_name"]: pool for pool in reported["pools"]}
        pool: dict[str, Any] = pools.get(name, {})
        able = pool.get("online_extend_support", reported.get("online_extend_support"))
        return able is not False

    def exists(self, volume: VolumeRecord) -> bool | None:
        with self._calling(TASKS["exists"], volume):
            obj = translate.volume(self._context, volume)
            return self._has(obj, "volume", [obj], [])

    def snapshot_exists(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> bool | None:
        with self._calling(TASKS["snapshot_exists"], snapshot, volume):
            obj = self._snapshot(snapshot, volume)
            return self._has(obj, "snapshot", [obj.volume], [obj])

    def _has(self, obj: Any, kind: str, volumes: list[Any], snapshots: list[Any]) -> bool | None:
        by_name = getattr(self._driver, "exists_in_storage", None)
        if by_name is not None:
            return bool(by_name(obj.name))
        if listing.is_found_by_name(self._driver, kind, obj):
            return True
        if kind not in abilities.of(self._driver).complete_listings:
            return None
        listed = listing.listing(self._driver, volumes, snapshots)
        if any((item.kind, item.id) == (kind, obj.id) for item in listed.found):
            return True
        return False if kind in listed.kinds else None

    def listing(
        self, volumes: Sequence[VolumeRecord], snapshots: Sequence[SnapshotRecord]
    ) -> Listing:
        with self._calling(TASKS["listing"]):
            return listing.listing(
                self._driver,
                [translate.volume(self._context, volume) for volume in volumes],
                [translate.snapshot(self._context, snapshot) for snapshot in snapshots],
            )

    def leftovers(self, *, remove: bool = False) -> list[str]:
        with self._calling(TASKS["leftovers"]):
            leftovers = getattr(self._driver, "leftovers", None)
            return [] if leftovers is None else list(leftovers(remove=remove))

    def name_in_storage(self, record: VolumeRecord | SnapshotRecord) -> str:
        if isinstance(record, SnapshotRecord):
            return str(translate.snapshot(self._context, record).name)
        return str(translate.volume(self._context, record).name)

    def attribute(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._driver, name)
        if not callable(value):
            return value

        def method(*args: Any, **kwargs: Any) -> Any:
            with self._calling(f"run {name}()"):
                return value(*args, **kwargs)

        return method

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            release()

    # --- internal

    def _created(self, volume: VolumeRecord) -> VolumeRecord:
        return replace(volume, shared_targets=stats.shares_targets(self._driver.capabilities))

    def _progressed(self, done: int, total: int) -> None:
        call = scope.current()
        if self._progress is not None and call is not None:
            self._progress(Progress(done, total, "bytes", call.about))

    def _snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> Any:
        return translate.snapshot(self._context, snapshot, translate.volume(self._context, volume))

    def _calling(self, what: str, *given: Record) -> ConvertingCall:
        if self._release is None:
            raise InvalidState(
                f"Backend {self._scope.backend!r} is closed: load it again to use it", resource=None
            )
        return ConvertingCall(self._scope, self._info, self._lock, what, *given)
