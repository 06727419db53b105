"""The database's snapshots and attachments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinder import exception
from oslo_config import cfg

from cinderlib.drivers import rows
from cinderlib.drivers.database_base import Part, matches
from cinderlib.drivers.rows import Row
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord, new_id


class Snapshots(Part):
    """Functions of ``cinder.db.api`` about snapshots and attachments."""

    # --- snapshots

    def snapshot_get(self, context: Any, snapshot_id: str) -> Row:
        return self._snapshot_row(self._snapshot(snapshot_id))

    def snapshot_get_all(
        self, context: Any, filters: Mapping[str, Any] | None = None, *page: Any, **sort: Any
    ) -> list[Row]:
        wanted = dict(filters or {})
        host = wanted.pop("host", None)
        found = self._view.find(SnapshotRecord, {})
        if host is not None:
            volumes = {
                each.id
                for each in self._view.find(VolumeRecord, {})
                if matches(each, {"host": host})
            }
            found = [record for record in found if record.volume_id in volumes]
        return [self._snapshot_row(record) for record in found if matches(record, wanted)]

    def snapshot_get_all_by_host(
        self, context: Any, host: str, filters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        return self.snapshot_get_all(context, {**(filters or {}), "host": host})

    def snapshot_get_all_for_volume(self, context: Any, volume_id: str) -> list[Row]:
        found = self._view.find(SnapshotRecord, {"volume_id": volume_id})
        return [self._snapshot_row(record) for record in found]

    def snapshot_get_latest_for_volume(self, context: Any, volume_id: str) -> Row:
        found = self.snapshot_get_all_for_volume(context, volume_id)
        if not found:
            raise exception.VolumeSnapshotNotFound(volume_id=volume_id)
        return found[-1]

    def snapshot_get_all_for_group_snapshot(
        self, context: Any, group_snapshot_id: str
    ) -> list[Row]:
        return self.snapshot_get_all(context, {"group_snapshot_id": group_snapshot_id})

    snapshot_get_all_for_cgsnapshot = snapshot_get_all_for_group_snapshot

    def snapshot_update(self, context: Any, snapshot_id: str, values: Mapping[str, Any]) -> None:
        changed = rows.fields(SnapshotRecord, values)
        if self._view.change(SnapshotRecord, snapshot_id, lambda record: changed) is None:
            raise exception.SnapshotNotFound(snapshot_id=snapshot_id)

    def snapshot_create(self, context: Any, values: Mapping[str, Any]) -> Row:
        record = SnapshotRecord(
            **{
                "id": values.get("id") or new_id(),
                "backend": self._view.scopes()[0].backend,
                "volume_size": 0,
                **rows.fields(SnapshotRecord, values),
            }
        )
        return self._snapshot_row(self._view.add(record))

    def snapshot_destroy(self, context: Any, snapshot_id: str) -> dict[str, Any]:
        self._view.remove(SnapshotRecord, snapshot_id)
        return {"status": "deleted", "deleted": True}

    def snapshot_metadata_get(self, context: Any, snapshot_id: str) -> dict[str, str]:
        return dict(self._snapshot(snapshot_id).metadata)

    def snapshot_metadata_update(
        self, context: Any, snapshot_id: str, metadata: Mapping[str, str], delete: bool
    ) -> dict[str, str]:
        return self._update_metadata(SnapshotRecord, snapshot_id, "metadata", metadata, delete)

    def snapshot_metadata_delete(self, context: Any, snapshot_id: str, key: str) -> None:
        self._delete_metadata(SnapshotRecord, snapshot_id, "metadata", key)

    # --- attachments

    def volume_attachment_get(self, context: Any, attachment_id: str) -> Row:
        record = self._view.get(ConnectionRecord, attachment_id)
        if record is None:
            raise exception.VolumeAttachmentNotFound(filter=f"attachment_id = {attachment_id}")
        return rows.connection(record)

    def volume_attachment_get_all_by_volume_id(self, context: Any, volume_id: str) -> list[Row]:
        return self._attachments({"volume_id": volume_id})

    def volume_attachment_get_all_by_host(
        self, context: Any, host: str, filters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        found = self._attachments({}, filters)
        return [row for row in found if row["attached_host"] == host]

    def volume_attachment_get_all_by_instance_uuid(
        self, context: Any, instance_uuid: str, filters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        return self._attachments({}, {**(filters or {}), "instance_uuid": instance_uuid})

    def volume_attachment_get_all(
        self, context: Any, filters: Mapping[str, Any] | None = None, *page: Any, **sort: Any
    ) -> list[Row]:
        return self._attachments({}, filters)

    def volume_attachment_update(
        self, context: Any, attachment_id: str, values: Mapping[str, Any]
    ) -> None:
        changed = rows.fields(ConnectionRecord, values)
        if self._view.change(ConnectionRecord, attachment_id, lambda record: changed) is None:
            raise exception.VolumeAttachmentNotFound(filter=f"attachment_id = {attachment_id}")

    def attachment_specs_get(self, context: Any, attachment_id: str) -> dict[str, Any]:
        """Connectors in the format of old releases of Cinder; here the attachment contains them."""
        return {}

    def _attachments(
        self, where: Mapping[str, str], filters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        found = self._view.find(ConnectionRecord, where)
        return [rows.connection(record) for record in found if matches(record, filters or {})]

    def _snapshot_row(self, record: SnapshotRecord) -> Row:
        volume = self._view.get(VolumeRecord, record.volume_id)
        type_id = record.volume_id if volume is None else rows.type_id(volume)
        return rows.snapshot(record, cfg.CONF.snapshot_name_template % record.id, type_id)
