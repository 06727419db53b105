"""Implements Cinder's database interface on records: volumes, snapshots and attachments.

Drivers, their targets and Cinder's versioned objects read and write through the functions of the
module ``cinder.db.api``. This class has the same functions. One instance replaces that module for
the whole process (see :mod:`.seam`); each driver has another, which is limited to its own store.

The arguments are Cinder's. A ``context`` identifies the user; it is ignored here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cinder import exception
from oslo_config import cfg

from cinderlib.drivers import rows
from cinderlib.drivers.conditions import Column, Model, holds
from cinderlib.drivers.database_base import matches
from cinderlib.drivers.database_groups import Groups
from cinderlib.drivers.database_snapshots import Snapshots
from cinderlib.drivers.database_types import Types
from cinderlib.drivers.rows import Row
from cinderlib.records import (
    ConnectionRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    new_id,
)

_KINDS: dict[str, type[Record]] = {
    "volume": VolumeRecord,
    "snapshot": SnapshotRecord,
    "volume_attachment": ConnectionRecord,
}


class MissingFunction(NotImplementedError, AttributeError):
    """Cinder's code called a database function that is not implemented."""


class Database(Types, Snapshots, Groups):
    """The implemented functions of ``cinder.db.api``; those about volumes are in this class."""

    def __getattr__(self, name: str) -> Any:
        raise MissingFunction(
            f"a driver called Cinder's database function {name!r}, which cinderlib does not"
            " implement; please report it"
        )

    # --- volumes

    def volume_get(self, context: Any, volume_id: str) -> Row:
        return self._volume_row(self._volume(volume_id))

    def volume_get_all(
        self, context: Any, *args: Any, filters: Mapping[str, Any] | None = None, **page: Any
    ) -> list[Row]:
        return self._volume_rows(filters or {})

    def volume_get_all_by_host(
        self, context: Any, host: str, filters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        return self._volume_rows({**(filters or {}), "host": host})

    def volume_get_all_by_generic_group(
        self, context: Any, group_id: str, filters: Mapping[str, Any] | None = None
    ) -> list[Row]:
        return self._volume_rows({**(filters or {}), "group_id": group_id})

    #: Consistency groups became generic groups long ago; their IDs are the same.
    volume_get_all_by_group = volume_get_all_by_generic_group

    def volume_update(self, context: Any, volume_id: str, values: Mapping[str, Any]) -> None:
        changed = rows.fields(VolumeRecord, values)
        if self._view.change(VolumeRecord, volume_id, lambda record: changed) is None:
            raise exception.VolumeNotFound(volume_id=volume_id)

    def volumes_update(self, context: Any, values_list: Iterable[Mapping[str, Any]]) -> None:
        for values in values_list:
            self.volume_update(context, values["id"], values)

    def volume_create(self, context: Any, values: Mapping[str, Any]) -> Row:
        scope = self._view.scopes()[0]
        record = VolumeRecord(
            **{
                "id": values.get("id") or new_id(),
                "backend": scope.backend,
                "host": scope.host,
                "size": 0,
                **rows.fields(VolumeRecord, values),
            }
        )
        return self._volume_row(self._view.add(record))

    def volume_destroy(self, context: Any, volume_id: str) -> dict[str, Any]:
        self._view.remove(VolumeRecord, volume_id)
        return {"status": "deleted", "deleted": True, "migration_status": None}

    def volume_encryption_metadata_get(self, context: Any, volume_id: str) -> dict[str, Any]:
        return {"encryption_key_id": self._volume(volume_id).encryption_key_id}

    # --- the metadata of volumes

    def volume_metadata_get(self, context: Any, volume_id: str) -> dict[str, str]:
        return dict(self._volume(volume_id).metadata)

    def volume_metadata_update(
        self,
        context: Any,
        volume_id: str,
        metadata: Mapping[str, str],
        delete: bool,
        meta_type: Any = None,
    ) -> dict[str, str]:
        return self._update_metadata(VolumeRecord, volume_id, "metadata", metadata, delete)

    def volume_metadata_delete(
        self, context: Any, volume_id: str, key: str, meta_type: Any = None
    ) -> None:
        self._delete_metadata(VolumeRecord, volume_id, "metadata", key)

    def volume_admin_metadata_get(self, context: Any, volume_id: str) -> dict[str, str]:
        return dict(self._volume(volume_id).admin_metadata)

    def volume_admin_metadata_update(
        self,
        context: Any,
        volume_id: str,
        metadata: Mapping[str, str],
        delete: bool,
        add: bool = True,
        update: bool = True,
    ) -> dict[str, str]:
        old = self._volume(volume_id).admin_metadata
        wanted = {key: value for key, value in metadata.items() if (update if key in old else add)}
        return self._update_metadata(VolumeRecord, volume_id, "admin_metadata", wanted, delete)

    def volume_admin_metadata_delete(self, context: Any, volume_id: str, key: str) -> None:
        self._delete_metadata(VolumeRecord, volume_id, "admin_metadata", key)

    def volume_glance_metadata_get(self, context: Any, volume_id: str) -> list[Row]:
        found = self._volume(volume_id).glance_metadata
        if not found:
            raise exception.GlanceMetadataNotFound(id=volume_id)
        return rows.specs(found)

    # --- functions that versioned objects call for all kinds

    def get_model_for_versioned_object(self, versioned_object: Any) -> Model:
        name = versioned_object
        return Model(name if isinstance(name, str) else name.obj_name())

    def get_by_id(self, context: Any, model: Model, id: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self, f"{model.function_prefix}_get")(context, id)

    def resource_exists(self, context: Any, model: Model, resource_id: str) -> bool:
        kind = _KINDS.get(model.function_prefix)
        if kind is None:
            raise MissingFunction(
                f"a driver queried Cinder's table {model.__name__}, which cinderlib does not"
                " implement; please report it"
            )
        return self._view.get(kind, resource_id) is not None

    def is_orm_value(self, value: Any) -> bool:
        return isinstance(value, Column)

    def conditional_update(
        self,
        context: Any,
        model: Model,
        values: Mapping[str, Any],
        expected_values: Mapping[str, Any],
        filters: Iterable[Any] = (),
        *args: Any,
        **kwargs: Any,
    ) -> bool:
        kind = _KINDS.get(model.function_prefix)
        if kind is None or any(True for _ in filters or ()):
            raise MissingFunction(
                f"a driver updates Cinder's table {model.__name__} with SQLAlchemy filters, which"
                " cinderlib does not implement; please report it"
            )
        expected = dict(expected_values)
        updated = False

        def changes(record: Any) -> dict[str, Any]:
            nonlocal updated
            now = rows.columns(record)
            updated = all(holds(now.get(column), value) for column, value in expected.items())
            if not updated:
                return {}
            wanted = {
                key: now.get(value.name) if isinstance(value, Column) else value
                for key, value in values.items()
            }
            return rows.fields(kind, wanted)

        return self._view.change(kind, expected.pop("id"), changes) is not None and updated

    def dispose_engine(self) -> None:
        """Cinder closes inherited database connections here; the store closes its own."""

    def is_backend_frozen(self, context: Any, host: str, cluster_name: str | None) -> bool:
        return False

    # --- internal

    def _volume_row(self, record: VolumeRecord) -> Row:
        return rows.volume(
            record,
            cfg.CONF.volume_name_template % (record.name_id or record.id),
            self._view.find(ConnectionRecord, {"volume_id": record.id}),
        )

    def _volume_rows(self, filters: Mapping[str, Any]) -> list[Row]:
        found = [each for each in self._view.find(VolumeRecord, {}) if matches(each, filters)]
        connections: dict[str, list[ConnectionRecord]] = {}
        for connection in self._view.find(ConnectionRecord, {}) if found else ():
            connections.setdefault(connection.volume_id, []).append(connection)
        template = cfg.CONF.volume_name_template
        return [
            rows.volume(each, template % (each.name_id or each.id), connections.get(each.id, ()))
            for each in found
        ]
