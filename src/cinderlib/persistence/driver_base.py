"""The base class of metadata stores in programs that were written for cinderlib 5.

A new store should be a :class:`cinderlib.persistence.base.Store`: this older interface has no
transactions and no versions. :class:`~cinderlib.persistence.object_store.ObjectStore` adapts such a
subclass to a store.

The objects are volumes, snapshots, connections and key-values. Each has its record in ``_record``.
``_saved_record`` is the record as it was last saved, ``None`` if it was never saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from cinderlib.records import Record, replace

#: Creates the object that users hold from a record.
Wrap = Callable[[Record], Any]


class DB:
    """The ``db`` attribute of a persistence. It has no function: drivers use another way to the
    store."""

    def __init__(self, persistence: PersistenceDriverBase) -> None:
        self.persistence = persistence


class PersistenceDriverBase:
    """Base class for metadata stores.

    A subclass implements all ``get_*``, ``set_*`` and ``delete_*`` methods, and calls the ``set_*``
    and ``delete_*`` methods of this class last.
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
        """The volumes that match all arguments other than ``None``."""
        raise NotImplementedError

    def get_snapshots(
        self,
        snapshot_id: str | None = None,
        snapshot_name: str | None = None,
        volume_id: str | None = None,
    ) -> Iterable[Any]:
        """The snapshots that match all arguments other than ``None``."""
        raise NotImplementedError

    def get_connections(
        self, connection_id: str | None = None, volume_id: str | None = None
    ) -> Iterable[Any]:
        """The connections that match all arguments other than ``None``."""
        raise NotImplementedError

    def get_key_values(self, key: str | None = None) -> Iterable[Any]:
        """The key-value with that key, or all key-values without a key."""
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
        """Remove a key-value, specified by the object or its key."""

    def get_changed_fields(self, resource: Any) -> dict[str, Any]:
        """The fields that changed since the last save, and their values. For a new resource, all
        fields that are set, so that ``'id' in changed`` shows whether it is new."""
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
        """Mark the resource as saved in its current state.

        :param fields: only these fields; by default all.
        """
        record, saved = resource._record, getattr(resource, "_saved_record", None)
        if fields is None:
            resource._saved_record = record
        elif saved is not None:
            names = (fields,) if isinstance(fields, str) else fields
            resource._saved_record = replace(saved, **{n: getattr(record, n) for n in names})
