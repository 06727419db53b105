"""Snapshots that hosts access without a copy: the driver maps the snapshot itself.

A temporary volume record with ``snapshot_access`` ``'native'`` represents the mapped snapshot, so
the storage has no volume with its ID. The methods of Cinder's drivers for snapshots replace those
for volumes. The driver's changes to the snapshot's export are kept in the temporary record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from cinderlib.drivers import connection_info, translate
from cinderlib.drivers.host import LocalDriver
from cinderlib.drivers.port import TASKS
from cinderlib.errors import SnapshotNotFound
from cinderlib.records import (
    ConnectionRecord,
    Secret,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

#: The fields that describe an export.
_EXPORT = ("provider_location", "provider_auth")


def _is_native(volume: VolumeRecord) -> bool:
    return volume.snapshot_access == "native"


class SnapshotAccessDriver(LocalDriver):
    """A driver of this process, with the methods for snapshots that are mapped to hosts."""

    def create_volume_from_snapshot(
        self, volume: VolumeRecord, snapshot: SnapshotRecord
    ) -> VolumeRecord:
        if _is_native(volume):
            return volume
        return super().create_volume_from_snapshot(volume, snapshot)

    def delete_volume(self, volume: VolumeRecord) -> None:
        if not _is_native(volume):
            super().delete_volume(volume)

    def create_export(self, volume: VolumeRecord, connector: Mapping[str, Any]) -> VolumeRecord:
        if not _is_native(volume):
            return super().create_export(volume, connector)
        with self._calling(TASKS["create_export"], volume):
            obj = self._mapped_snapshot(volume)
            update = None
            with contextlib.suppress(NotImplementedError):  # mapping alone is enough
                update = self._driver.create_export_snapshot(
                    self._context, obj, translate.plain(connector)
                )
            return _with_export(volume, obj, update)

    def ensure_export(self, volume: VolumeRecord) -> VolumeRecord:
        # Cinder's drivers have no such method for snapshots.
        return volume if _is_native(volume) else super().ensure_export(volume)

    def initialize_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord
    ) -> dict[str, Any]:
        if not _is_native(volume):
            return super().initialize_connection(volume, connection)
        with self._calling(TASKS["initialize_connection"], volume, connection):
            connector = translate.plain(connection.connector)
            obj = self._mapped_snapshot(volume)
            answer = translate.plain(self._driver.initialize_connection_snapshot(obj, connector))
            return connection_info.complete(answer, volume, connection, self._connection_defaults)

    def terminate_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord, *, force: bool = False
    ) -> bool:
        if not _is_native(volume):
            return super().terminate_connection(volume, connection, force=force)
        with self._calling(TASKS["terminate_connection"], volume, connection):
            shared = self._driver.terminate_connection_snapshot(
                self._mapped_snapshot(volume), translate.plain(connection.connector), force=force
            )
            return shared is True

    def remove_export(self, volume: VolumeRecord) -> VolumeRecord:
        if not _is_native(volume):
            return super().remove_export(volume)
        with self._calling(TASKS["remove_export"], volume):
            obj = self._mapped_snapshot(volume)
            update = None
            with contextlib.suppress(NotImplementedError):
                update = self._driver.remove_export_snapshot(self._context, obj)
            return _with_export(volume, obj, update)

    def exists(self, volume: VolumeRecord) -> bool | None:
        # The record of the snapshot is compared with the storage.
        return True if _is_native(volume) else super().exists(volume)

    def _mapped_snapshot(self, volume: VolumeRecord) -> Any:
        """The snapshot of a temporary volume as Cinder's object, with its export.

        :raises SnapshotNotFound: it has no record.
        """
        store, id = self._scope.store, str(volume.snapshot_id)
        record = store.get(SnapshotRecord, id)
        if record is None:
            raise SnapshotNotFound(
                f"Snapshot {id}, which the temporary volume {volume.id} maps, is not in the store",
                resource=id,
            )
        export = {name: value for name in _EXPORT if (value := getattr(volume, name)) is not None}
        source = store.get(VolumeRecord, record.volume_id)
        of = None if source is None else translate.volume(self._context, source)
        return translate.snapshot(self._context, replace(record, **export), of)


def _with_export(volume: VolumeRecord, obj: Any, update: Any) -> VolumeRecord:
    """The temporary volume with the export that the driver described.

    :param obj: the snapshot, which the driver may have changed.
    :param update: the driver's model update.
    """
    found = {name: getattr(obj, name) for name in obj.obj_what_changed() if name in _EXPORT}
    if isinstance(update, Mapping):
        found |= {name: update[name] for name in _EXPORT if name in update}
    if found.get("provider_auth") is not None:
        found["provider_auth"] = Secret(found["provider_auth"])
    return replace(volume, **found)
