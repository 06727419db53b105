"""Groups and group snapshots in Cinder's database interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinder import exception

from cinderlib.drivers import rows
from cinderlib.drivers.database_base import Part
from cinderlib.drivers.rows import Row
from cinderlib.records import GroupRecord, GroupSnapshotRecord, TypeSpecs, VolumeRecord

#: The ID of the type that all groups have for drivers: they ask for consistent snapshots.
GROUP_TYPE = "d3bd1e0c-3a47-4f0a-9b0e-6a8f6f4f8c11"
_GROUP_SPECS = {"consistent_group_snapshot_enabled": "<is> True"}


class Groups(Part):
    """Functions of ``cinder.db.api`` about groups. Only operations change groups, so values that
    drivers write to them are ignored."""

    def group_get(self, context: Any, group_id: str) -> Row:
        record = self._view.group(GroupRecord, group_id)
        if record is None:
            raise exception.GroupNotFound(group_id=group_id)
        return Row(rows.group(record, GROUP_TYPE))

    def group_update(self, context: Any, group_id: str, values: Mapping[str, Any]) -> None:
        """See the class."""

    def group_snapshot_get(self, context: Any, group_snapshot_id: str) -> Row:
        record = self._view.group(GroupSnapshotRecord, group_snapshot_id)
        if record is None:
            raise exception.GroupSnapshotNotFound(group_snapshot_id=group_snapshot_id)
        return Row(rows.group_snapshot(record, GROUP_TYPE))

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
        if id != GROUP_TYPE:
            raise exception.GroupTypeNotFound(group_type_id=id)
        return Row(
            {
                "id": GROUP_TYPE,
                "name": "consistent",
                "description": None,
                "is_public": True,
                "projects": [],
                "group_specs": dict(_GROUP_SPECS),
                "created_at": None,
                "updated_at": None,
                "deleted_at": None,
                "deleted": False,
            }
        )

    def group_type_specs_get(self, context: Any, group_type_id: str) -> dict[str, str]:
        return dict(self.group_type_get(context, group_type_id)["group_specs"])
