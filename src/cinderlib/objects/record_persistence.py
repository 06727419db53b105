"""The interface of cinderlib 5's persistence on top of a store: it takes and returns objects.

This is ``Backend.persistence``, unless the store itself is a persistence class of cinderlib 5.
"""

from __future__ import annotations

from typing import Any

from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.persistence.driver_base import PersistenceDriverBase, Wrap
from cinderlib.records import (
    ConnectionRecord,
    KeyValueRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
)
from cinderlib.value_checks import check_text


def of_store(store: Store, wrap: Wrap) -> PersistenceDriverBase:
    """A store with the methods that cinderlib 5's persistence drivers have, which take and return
    objects.

    :param wrap: creates the object for a record.
    :returns: the user's own driver if the store was created from one.
    """
    from cinderlib.persistence.object_store import ObjectStore

    if isinstance(store, ObjectStore):
        store.wrap = wrap
        return store.persistence
    return RecordPersistence(store, wrap)


class RecordPersistence(PersistenceDriverBase):
    """The object interface on top of a store.

    :param wrap: creates an object from a record.
    """

    def __init__(self, store: Store, wrap: Wrap) -> None:
        super().__init__()
        self.store = store
        self._wrap = wrap

    def __repr__(self) -> str:
        return f"RecordPersistence({self.store!r})"

    def _get(self, kind: type[Record], id: str | None, **where: str | None) -> list[Any]:
        conditions = {
            field: check_text(value, field) for field, value in where.items() if value is not None
        }
        if id is None:
            found = self.store.iterate(kind, conditions)
        else:
            record = self.store.get(kind, check_text(id, f"{kind.kind} id"))
            found = iter([record] if record else [])
        return [
            self._wrap(record)
            for record in found
            if all(getattr(record, field) == value for field, value in conditions.items())
        ]

    def _set(self, resource: Any) -> None:
        (written,) = self.store.apply(Put(resource._pending()))
        resource._adopt(written)
        self.reset_change_tracker(resource)

    def _delete(self, resource: Any) -> None:
        self.store.apply(Remove(type(resource._record), resource._record.id))
        self.reset_change_tracker(resource)

    def get_volumes(
        self,
        volume_id: str | None = None,
        volume_name: str | None = None,
        backend_name: str | None = None,
    ) -> list[Any]:
        return self._get(VolumeRecord, volume_id, name=volume_name, backend=backend_name)

    def get_snapshots(
        self,
        snapshot_id: str | None = None,
        snapshot_name: str | None = None,
        volume_id: str | None = None,
    ) -> list[Any]:
        return self._get(SnapshotRecord, snapshot_id, name=snapshot_name, volume_id=volume_id)

    def get_connections(
        self, connection_id: str | None = None, volume_id: str | None = None
    ) -> list[Any]:
        return self._get(ConnectionRecord, connection_id, volume_id=volume_id)

    def get_key_values(self, key: str | None = None) -> list[Any]:
        return self._get(KeyValueRecord, key)

    def set_volume(self, volume: Any) -> None:
        """:raises StaleRecord: another writer changed or removed it after it was read."""
        self._set(volume)

    def set_snapshot(self, snapshot: Any) -> None:
        """:raises StaleRecord: another writer changed or removed it after it was read."""
        self._set(snapshot)

    def set_connection(self, connection: Any) -> None:
        """:raises StaleRecord: another writer changed or removed it after it was read."""
        self._set(connection)

    def set_key_value(self, key_value: Any) -> None:
        """Write a key-value; an existing value is overwritten."""
        record = KeyValueRecord(id=key_value.key, value=key_value.value)
        self.store.apply(Put(record, check=False))

    def delete_volume(self, volume: Any) -> None:
        self._delete(volume)

    def delete_snapshot(self, snapshot: Any) -> None:
        self._delete(snapshot)

    def delete_connection(self, connection: Any) -> None:
        self._delete(connection)

    def delete_key_value(self, key: Any) -> None:
        self.store.apply(Remove(KeyValueRecord, key if isinstance(key, str) else key.key))
