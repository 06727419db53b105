"""Persistence as cinderlib 5 had it: objects in, objects out.

:class:`PersistenceDriverBase` is the class that programs subclass to keep metadata in a place of
their own, and the interface of ``Backend.persistence``. :class:`ObjectStore` makes a store out of
such a subclass, :class:`RecordPersistence` gives the interface on top of a store. New stores are
better written as a :class:`cinderlib.persistence.base.Store`, whose transactions and versions this
contract does not have.

The objects are volumes, snapshots, connections and key-values. Each has its record in ``_record``,
and in ``_saved_record`` the record as it was last saved, ``None`` when it never was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from cinderlib.errors import CinderlibError, StoreError
from cinderlib.persistence.base import (
    Change,
    Put,
    Remove,
    Store,
    check_where,
    keys,
    micros,
    stale,
)
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    decode,
    encode,
    now,
    replace,
)

R = TypeVar("R", bound=Record)

#: Makes the object that users hold from a record.
Wrap = Callable[[Record], Any]

#: Where intents are kept by a persistence that knows nothing of them.
INTENT_PREFIX = "cinderlib:intent:"


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

    def reset_change_tracker(self, resource: Any) -> None:
        """What the resource is now is what was last saved."""
        resource._saved_record = resource._record


class RecordPersistence(PersistenceDriverBase):
    """The object interface on top of a store.

    :param wrap: makes an object from a record.
    """

    def __init__(self, store: Store, wrap: Wrap) -> None:
        super().__init__()
        self.store = store
        self._wrap = wrap

    def __repr__(self) -> str:
        return f"RecordPersistence({self.store!r})"

    def _get(self, kind: type[Record], id: str | None, **where: str | None) -> list[Any]:
        conditions = {field: value for field, value in where.items() if value is not None}
        if id is None:
            found = self.store.find(kind, conditions)
        else:
            record = self.store.get(kind, id)
            found = [record] if record else []
        return [self._wrap(record) for record in found if _matches(record, conditions)]

    def _set(self, resource: Any) -> None:
        (resource._record,) = self.store.apply(Put(resource._record))
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
        """:raises StaleRecord: it was changed or removed by another since it was read."""
        self._set(volume)

    def set_snapshot(self, snapshot: Any) -> None:
        """:raises StaleRecord: it was changed or removed by another since it was read."""
        self._set(snapshot)

    def set_connection(self, connection: Any) -> None:
        """:raises StaleRecord: it was changed or removed by another since it was read."""
        self._set(connection)

    def set_key_value(self, key_value: Any) -> None:
        """Write a key-value over whatever is under its key."""
        self.store.apply(Put(_record_of(KeyValueRecord, key_value), check=False))

    def delete_volume(self, volume: Any) -> None:
        self._delete(volume)

    def delete_snapshot(self, snapshot: Any) -> None:
        self._delete(snapshot)

    def delete_connection(self, connection: Any) -> None:
        self._delete(connection)

    def delete_key_value(self, key: Any) -> None:
        self.store.apply(Remove(KeyValueRecord, key if isinstance(key, str) else key.key))


class ObjectStore(Store):
    """A store made of a persistence class of the user's.

    Changes are made one after the other, and those before one that fails stay; versions are
    compared just before, so another process can slip in between. Writes of this process are made
    one at a time.

    :param persistence: the user's.
    :param wrap: makes an object from a record; can be set later, before the store is used.
    """

    def __init__(self, persistence: PersistenceDriverBase, wrap: Wrap | None = None) -> None:
        self.persistence = persistence
        self.wrap = wrap
        self._lock = threading.RLock()
        self._closed = False

    def __repr__(self) -> str:
        return f"ObjectStore({type(self.persistence).__name__})"

    def get(self, kind: type[R], id: str) -> R | None:
        found = self._object(kind, id)
        return None if found is None else _record_of(kind, found)

    def find(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> list[R]:
        where = check_where(kind, where)
        found = [_record_of(kind, item) for item in self._objects(kind, where)]
        found = [record for record in found if _matches(record, where)]
        found.sort(key=_place)
        if after is not None:
            last = _place(after)
            found = [record for record in found if _place(record) > last]
        return found if limit is None else found[: max(limit, 0)]

    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        return len(self.find(kind, where))

    def apply(self, *changes: Change) -> tuple[Record, ...]:
        for change in changes:
            if isinstance(change, Put):
                keys(change.record)
        written = []
        with self._lock:
            for change in changes:
                if isinstance(change, Put):
                    written.append(self._put(change))
                else:
                    self._remove(change)
        return tuple(written)

    def close(self) -> None:
        self._closed = True

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._closed:
            raise StoreError(f"The store {self} is closed.", retryable=False)
        try:
            result = getattr(self.persistence, method)(*args, **kwargs)
            return list(result or ()) if method.startswith("get_") else result
        except CinderlibError:
            raise
        except Exception as exc:
            # The message of a foreign exception can hold anything, secrets included.
            raise StoreError(f"The store {self} failed in {method}: {type(exc).__name__}.") from exc

    def _objects(self, kind: type[Record], where: Mapping[str, str]) -> list[Any]:
        """The objects of a kind; more than match ``where`` when the persistence cannot tell."""
        if kind is VolumeRecord:
            names = {"name": "volume_name", "backend": "backend_name"}
        elif kind is SnapshotRecord:
            names = {"name": "snapshot_name", "volume_id": "volume_id"}
        elif kind is ConnectionRecord:
            names = {"volume_id": "volume_id"}
        else:
            pairs = self._call("get_key_values")
            wanted = kind is IntentRecord
            return [pair for pair in pairs if pair.key.startswith(INTENT_PREFIX) is wanted]
        given = {names[field]: value for field, value in where.items() if field in names}
        return cast("list[Any]", self._call(f"get_{kind.kind}s", **given))

    def _object(self, kind: type[Record], id: str) -> Any | None:
        if not id:
            return None
        if kind in (KeyValueRecord, IntentRecord):
            key = _key(kind, id)
            found = [pair for pair in self._call("get_key_values", key) if pair.key == key]
            if kind is KeyValueRecord and key.startswith(INTENT_PREFIX):
                found = []
        else:
            found = self._call(f"get_{kind.kind}s", **{f"{kind.kind}_id": id})
            found = [item for item in found if item._record.id == id]
        return found[0] if found else None

    def _put(self, change: Put) -> Record:
        record, kind = change.record, type(change.record)
        there = self._object(kind, record.id)
        old = None if there is None else _record_of(kind, there)
        # What such a persistence keeps need not have versions; then there is nothing to compare.
        known = old.version if old else 0
        if change.check and (
            (old is None) != (record.version == 0) or known not in (0, record.version)
        ):
            raise stale(change, old.version if old else None)
        time = now()
        new = replace(
            record,
            version=(known or record.version) + 1,
            created_at=record.created_at or (old.created_at if old else None) or time,
            updated_at=time,
        )
        if kind is IntentRecord:
            pair = KeyValueRecord(id=_key(kind, new.id), value=encode(new).decode())
            self._call("set_key_value", self._wrapped(pair))
        elif kind is KeyValueRecord:
            self._call("set_key_value", self._wrapped(new))
        else:
            # The object that the persistence gave may carry attributes that it needs again.
            resource = self._wrapped(new) if there is None else there
            resource._saved_record, resource._record = old, new
            self._call(f"set_{kind.kind}", resource)
        return new

    def _remove(self, change: Remove) -> None:
        kind = change.kind
        there = self._object(kind, change.id)
        old = None if there is None else _record_of(kind, there)
        if change.version is not None and (old is None or old.version not in (0, change.version)):
            raise stale(change, old.version if old else None)
        if there is None:
            return
        if kind in (IntentRecord, KeyValueRecord):
            self._call("delete_key_value", _key(kind, change.id))
        else:
            self._call(f"delete_{kind.kind}", there)

    def _wrapped(self, record: Record) -> Any:
        if self.wrap is None:
            raise StoreError(f"The store {self} has no controller yet.", retryable=False)
        return self.wrap(record)


def _key(kind: type[Record], id: str) -> str:
    return INTENT_PREFIX + id if kind is IntentRecord else id


def _record_of(kind: type[R], resource: Any) -> R:
    record = getattr(resource, "_record", None)
    if record is None:
        record = KeyValueRecord(id=resource.key, value=resource.value)
    if kind is not IntentRecord:
        return cast(R, record)
    try:
        return decode(kind, record.value)
    except (msgspec.MsgspecError, TypeError):
        raise StoreError(
            f"What is under the key {record.id!r} is not an intent.", retryable=False
        ) from None


def _matches(record: Record, where: Mapping[str, str]) -> bool:
    return all(getattr(record, field) == value for field, value in where.items())


def _place(record: Record) -> tuple[int, str]:
    return micros(record.created_at) if record.created_at else 0, record.id
