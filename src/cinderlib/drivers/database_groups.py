"""Groups and group snapshots in Cinder's database interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinder import exception

from cinderlib.drivers import rows
from cinderlib.drivers.database_base import Part
from cinderlib.drivers.rows import Row
from cinderlib.records import GroupRecord, GroupSnapshotRecord, TypeSpecs, VolumeRecord


class Groups(Part):
    """Functions of ``cinder.db.api`` about groups. Only operations change groups, so values that
    drivers write to them are ignored."""

    def group_get(self, context: Any, group_id: str) -> Row:
        record = self._view.group(GroupRecord, group_id)
        if record is None:
            raise exception.GroupNotFound(group_id=group_id)
        return Row(rows.group(record))

    def group_update(self, context: Any, group_id: str, values: Mapping[str, Any]) -> None:
        """See the class."""

    def group_snapshot_get(self, context: Any, group_snapshot_id: str) -> Row:
        record = self._view.group(GroupSnapshotRecord, group_snapshot_id)
        if record is None:
            raise exception.GroupSnapshotNotFound(group_snapshot_id=group_snapshot_id)
        group = self._view.group(GroupRecord, record.group_id)
        type_id = rows.GROUP_TYPE if group is None else rows.group_type_id(group)
        return Row(rows.group_snapshot(record, type_id))

    def group_snapshot_update(
        self, context: Any, group_snapshot_id: str, values: Mapping[str, Any]
    ) -> None:
        """See the class."""

    def group_snapshot_get_all_by_group(
        self, context: Any, group_id: str, filters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        group = self._view.group(GroupRecord, group_id)
        return [
            self.group_snapshot_get(context, id) for id in (group.snapshot_ids if group else ())
        ]

    def volume_type_get_all_by_group(self, context: Any, group_id: str) -> list[Row]:
        volumes = [
            each
            for each in self._view.find(VolumeRecord, {})
            if each.group_id == group_id and each.volume_type_id is not None
        ]
        types = {rows.type_id(each): TypeSpecs.of(each) for each in volumes}
        return [rows.volume_type(each) for each in types.values()]

    def group_type_get(
        self, context: Any, id: str, inactive: bool = False, expected_fields: Any = None
    ) -> Row:
        if id == rows.GROUP_TYPE:
            return rows.group_type(id, rows.GROUP_SPECS)
        group = self._view.group(GroupRecord, id)
        if group is None or not group.group_specs:
            raise exception.GroupTypeNotFound(group_type_id=id)
        return rows.group_type(id, group.group_specs)

    def group_type_specs_get(self, context: Any, group_type_id: str) -> dict[str, str]:
        return dict(self.group_type_get(context, group_type_id)["group_specs"])
