"""The class that programs for cinderlib 5 subclass to keep metadata in a place of their own.

New stores are better written as a :class:`cinderlib.persistence.base.Store`, whose transactions and
versions this contract does not have. :class:`~cinderlib.persistence.object_store.ObjectStore` makes
a store of such a subclass.

The objects are volumes, snapshots, connections and key-values. Each has its record in ``_record``,
and in ``_saved_record`` the record as it was last saved, ``None`` when it never was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from cinderlib.records import Record, replace

#: Creates the object that users hold from a record.
Wrap = Callable[[Record], Any]


class DB:
    """What the ``db`` attribute of a persistence holds. It does nothing: drivers reach the store
    another way."""

    def __init__(self, persistence: PersistenceDriverBase) -> None:
        self.persistence = persistence


class PersistenceDriverBase:
    """Base of the classes that keep metadata.

    A subclass writes all ``get_*``, ``set_*`` and ``delete_*`` methods, and calls the ``set_*`` and
    ``delete_*`` methods of this class at the end of its own.
    """

    def __init__(self, **kwargs: Any) -> None:
        pass

    @property
    def db(self) -> Any:
        """Not used by the library; programs written for cinderlib 5 define it."""
        return DB(self)

    def get_volumes(
        self,
        volume_id: str | None = None,
        volume_name: str | None = None,
        backend_name: str | None = None,
    ) -> Iterable[Any]:
        """The volumes to which all the arguments that are not ``None`` apply."""
        raise NotImplementedError

    def get_snapshots(
        self,
        snapshot_id: str | None = None,
        snapshot_name: str | None = None,
        volume_id: str | None = None,
    ) -> Iterable[Any]:
        """The snapshots to which all the arguments that are not ``None`` apply."""
        raise NotImplementedError

    def get_connections(
        self, connection_id: str | None = None, volume_id: str | None = None
    ) -> Iterable[Any]:
        """The connections to which all the arguments that are not ``None`` apply."""
        raise NotImplementedError

    def get_key_values(self, key: str | None = None) -> Iterable[Any]:
        """The key-value of that key; of all keys without one."""
        raise NotImplementedError

    def set_volume(self, volume: Any) -> None:
        """Write a volume."""
        self.reset_change_tracker(volume)

    def set_snapshot(self, snapshot: Any) -> None:
        """Write a snapshot."""
        self.reset_change_tracker(snapshot)

    def set_connection(self, connection: Any) -> None:
        """Write a connection."""
        self.reset_change_tracker(connection)

    def set_key_value(self, key_value: Any) -> None:
        """Write a key-value."""

    def delete_volume(self, volume: Any) -> None:
        """Remove a volume."""
        self.reset_change_tracker(volume)

    def delete_snapshot(self, snapshot: Any) -> None:
        """Remove a snapshot."""
        self.reset_change_tracker(snapshot)

    def delete_connection(self, connection: Any) -> None:
        """Remove a connection."""
        self.reset_change_tracker(connection)

    def delete_key_value(self, key: Any) -> None:
        """Remove a key-value, given itself or its key."""

    def get_changed_fields(self, resource: Any) -> dict[str, Any]:
        """The fields that differ from what was last saved, and their values; all that are set when
        it never was, so that ``'id' in changed`` says whether it is new."""
        record, saved = resource._record, getattr(resource, "_saved_record", None)
        fields = msgspec.structs.asdict(record)
        if saved is not None:
            return {name: v for name, v in fields.items() if v != getattr(saved, name)}
        defaults = {field.name: field.default for field in msgspec.structs.fields(record)}
        return {name: v for name, v in fields.items() if v != defaults[name]}

    def get_fields(self, resource: Any) -> dict[str, Any]:
        """All fields and their values."""
        return msgspec.structs.asdict(resource._record)

    def reset_change_tracker(
        self, resource: Any, fields: str | Iterable[str] | None = None
    ) -> None:
        """The resource as it is now was saved.

        :param fields: only these were; by default all.
        """
        record, saved = resource._record, getattr(resource, "_saved_record", None)
        if fields is None:
            resource._saved_record = record
        elif saved is not None:
            names = (fields,) if isinstance(fields, str) else fields
            resource._saved_record = replace(saved, **{n: getattr(record, n) for n in names})
