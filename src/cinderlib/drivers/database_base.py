"""Common base of the parts of the database: find a record or raise Cinder's error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from cinder import exception

from cinderlib.drivers import rows
from cinderlib.drivers.conditions import holds
from cinderlib.drivers.scope import View
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

S = TypeVar("S", VolumeRecord, SnapshotRecord)


class Part:
    """A part of the database.

    :param view: the records that it can read and change.
    """

    def __init__(self, view: View) -> None:
        self._view = view

    def _volume(self, id: str) -> VolumeRecord:
        record = self._view.get(VolumeRecord, id)
        if record is None:
            raise exception.VolumeNotFound(volume_id=id)
        return record

    def _snapshot(self, id: str) -> SnapshotRecord:
        record = self._view.get(SnapshotRecord, id)
        if record is None:
            raise exception.SnapshotNotFound(snapshot_id=id)
        return record

    def _update_metadata(
        self, kind: type[S], id: str, field: str, values: Mapping[str, str], replace: bool
    ) -> dict[str, str]:
        new = rows.metadata(values)
        record = self._view.change(
            kind,
            id,
            lambda record: {field: new if replace else {**getattr(record, field), **new}},
        )
        return dict(getattr(self._found(record, kind, id), field))

    def _delete_metadata(self, kind: type[S], id: str, field: str, key: str) -> None:
        def changes(record: S) -> dict[str, Any]:
            old = getattr(record, field)
            return {field: {k: v for k, v in old.items() if k != key}} if key in old else {}

        self._found(self._view.change(kind, id, changes), kind, id)

    @staticmethod
    def _found(record: S | None, kind: type[S], id: str) -> S:
        if record is not None:
            return record
        if kind is VolumeRecord:
            raise exception.VolumeNotFound(volume_id=id)
        raise exception.SnapshotNotFound(snapshot_id=id)


def matches(
    record: VolumeRecord | SnapshotRecord | ConnectionRecord, filters: Mapping[str, Any]
) -> bool:
    now = rows.columns(record)
    for column, wanted in filters.items():
        value = now.get(column)
        if column == "host" and isinstance(wanted, str) and "#" not in wanted:
            value = str(value).partition("#")[0]
        if not holds(value, wanted):
            return False
    return True
