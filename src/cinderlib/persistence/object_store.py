"""Adapts a persistence class of cinderlib 5's interface to a store."""

from __future__ import annotations

import datetime
import inspect
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from cinderlib.errors import CinderlibError, DamagedRecord, StoreError, Unsupported
from cinderlib.persistence.base import (
    Change,
    Put,
    Remove,
    check_keys,
    damaged,
    micros,
    moment,
    stale,
)
from cinderlib.persistence.checked import CheckedStore
from cinderlib.persistence.driver_base import PersistenceDriverBase, Wrap
from cinderlib.persistence.intent_index import INDEX_PREFIX, IntentIndex
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    OperationRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    decode,
    encode,
    now,
    replace,
)

LOG = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

#: The prefix of keys under which intents are kept: the persistence has no place for them.
INTENT_PREFIX = "cinderlib:intent:"
#: Prefixes of keys that users do not see.
_HIDDEN = (INTENT_PREFIX, INDEX_PREFIX)


class _Replaced(NamedTuple):
    """What a change replaced.

    :ivar old: ``None`` if there was no record.
    """

    kind: type[Record]
    id: str
    old: Record | None


class ObjectStore(CheckedStore):
    """A store on top of a user's persistence class.

    A class whose ``get_key_values`` requires a key cannot list key-values; then an index lists the
    intents.

    Changes are written one after the other, and versions are compared immediately before, so
    another process can write in between. If a change fails, the previous ones are rolled back. If
    the persistence fails at that too, the next call on this store rolls them back first. After a
    crash, the intents show what to recover. This process writes one group of changes at a time.

    :param persistence: the user's object.
    :param wrap: creates an object from a record; can be set later, before the store is used.
    """

    def __init__(self, persistence: PersistenceDriverBase, wrap: Wrap | None = None) -> None:
        self.persistence = persistence
        self.wrap = wrap
        self._lock = threading.RLock()
        self._closed = False
        #: The records that a group of changes replaced, while the group is not complete.
        self._replaced: list[_Replaced] = []
        self._index = None if _can_list(persistence) else IntentIndex(self._text, self._set_text)

    def __repr__(self) -> str:
        return f"ObjectStore({type(self.persistence).__name__})"

    def get(self, kind: type[R], id: str) -> R | None:
        self._complete_rollback()
        found = self._object(kind, id)
        return None if found is None else _stored(kind, found)

    def _find(
        self, kind: type[R], where: Mapping[str, str], after: R | None, limit: int | None
    ) -> list[R]:
        records, unreadable = self._sorted(kind, where, after)
        if unreadable:
            raise unreadable[0]
        return records[:limit]

    def _scan(
        self, kind: type[R], where: Mapping[str, str], after: R | None, page: int
    ) -> Iterator[R | DamagedRecord]:
        records, unreadable = self._sorted(kind, where, after)
        yield from unreadable
        yield from records

    def _sorted(
        self, kind: type[R], where: Mapping[str, str], after: R | None
    ) -> tuple[list[R], list[DamagedRecord]]:
        """The records, and the errors for those that cannot be read."""
        self._complete_rollback()
        records: list[R] = []
        unreadable: list[DamagedRecord] = []
        for item in self._objects(kind, where):
            try:
                record = _stored(kind, item)
            except DamagedRecord as exc:
                unreadable.append(exc)
            else:
                if _matches(record, where) and (after is None or _place(record) > _place(after)):
                    records.append(record)
        return sorted(records, key=_place), unreadable

    def _count(self, kind: type[Record], where: Mapping[str, str]) -> int:
        records, unreadable = self._sorted(kind, where, None)
        return len(records) + len(unreadable)

    def apply(self, *changes: Change) -> tuple[Record, ...]:
        for change in changes:
            if isinstance(change, Put):
                check_keys(change.record)
        written = []
        with self._lock:
            self._roll_back()
            time = now()
            try:
                for at, change in enumerate(changes):
                    if isinstance(change, Put):
                        written.append(self._put(change, moment(time, at)))
                    else:
                        self._remove(change)
            except BaseException:
                try:
                    self._roll_back()
                except CinderlibError as exc:
                    LOG.warning("%s could not roll back, the next call will: %s", self, exc)
                raise
            self._replaced.clear()
        return tuple(written)

    def _complete_rollback(self) -> None:
        if self._replaced:
            with self._lock:
                self._roll_back()

    def _roll_back(self) -> None:
        """Restore the records that an incomplete group of changes replaced."""
        while self._replaced:
            kind, id, old = self._replaced[-1]
            existing = self._object(kind, id)
            if old is not None:
                self._write(old, existing)
            elif existing is not None:
                self._delete(kind, id, existing)
            self._replaced.pop()

    def close(self) -> None:
        try:
            self._complete_rollback()
        finally:
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
            # The message of a foreign exception can contain anything, including secrets.
            raise StoreError(f"The store {self} failed in {method}: {type(exc).__name__}.") from exc

    def _objects(self, kind: type[Record], where: Mapping[str, str]) -> list[Any]:
        """The objects of a kind; more than match ``where`` if the persistence cannot select
        them."""
        if kind is VolumeRecord:
            names = {"name": "volume_name", "backend": "backend_name"}
        elif kind is SnapshotRecord:
            names = {"name": "snapshot_name", "volume_id": "volume_id"}
        elif kind is ConnectionRecord:
            names = {"volume_id": "volume_id"}
        elif kind is OperationRecord:
            return []
        else:
            return self._pairs(kind)
        given = {names[field]: value for field, value in where.items() if field in names}
        return cast("list[Any]", self._call(f"get_{kind.kind}s", **given))

    def _pairs(self, kind: type[Record]) -> list[Any]:
        """The key-values that contain intents, or the other key-values."""
        if self._index is None:
            pairs = self._call("get_key_values")
            if kind is IntentRecord:
                return [pair for pair in pairs if pair.key.startswith(INTENT_PREFIX)]
            return [pair for pair in pairs if not pair.key.startswith(_HIDDEN)]
        if kind is KeyValueRecord:
            raise Unsupported(
                f"The store {self} cannot list its key-values: its get_key_values requires a key"
            )
        found = (self._object(IntentRecord, id) for id in self._index.ids())
        return [pair for pair in found if pair is not None]

    def _text(self, key: str) -> str | None:
        for pair in self._call("get_key_values", key):
            if pair.key == key:
                value: str | None = pair.value
                return value
        return None

    def _set_text(self, record: KeyValueRecord) -> None:
        self._call("set_key_value", self._wrapped(record))

    def _object(self, kind: type[Record], id: str) -> Any | None:
        if not id or kind is OperationRecord:
            return None
        if kind in (KeyValueRecord, IntentRecord):
            key = _key(kind, id)
            found = [pair for pair in self._call("get_key_values", key) if pair.key == key]
            if kind is KeyValueRecord and key.startswith(_HIDDEN):
                found = []
        else:
            found = self._call(f"get_{kind.kind}s", **{f"{kind.kind}_id": id})
            found = [item for item in found if item._record.id == id]
        return found[0] if found else None

    def _put(self, change: Put, time: datetime.datetime) -> Record:
        record, kind = change.record, type(change.record)
        if kind is OperationRecord:
            raise Unsupported(f"The store {self} has no place for the history")
        existing = self._object(kind, record.id)
        old = None if existing is None else _record_of(kind, existing)
        # Objects of such a persistence may have no version; then there is nothing to compare.
        known = old.version if old else 0
        if change.check and (
            (old is None) != (record.version == 0) or known not in (0, record.version)
        ):
            raise stale(change, old.version if old else None)
        new = replace(
            record,
            version=1 if old is None else (known or record.version) + 1,
            created_at=record.created_at or (old.created_at if old else None) or time,
            updated_at=time,
        )
        self._replaced.append(_Replaced(kind, new.id, old))
        self._write(new, existing)
        return new

    def _write(self, new: Record, existing: Any | None) -> None:
        """Write a record unchanged.

        :param existing: the persistence's object for it, ``None`` if it has none.
        """
        kind = type(new)
        if kind is IntentRecord:
            pair = KeyValueRecord(id=_key(kind, new.id), value=encode(new).decode())
            if self._index is None:
                self._set_text(pair)
            else:
                self._index.add(new.id)
                self._set_text(pair)
                self._index.register()
        elif isinstance(new, KeyValueRecord):
            self._set_text(new)
        else:
            # The existing object may have attributes that the persistence needs.
            resource = self._wrapped(new) if existing is None else existing
            resource._saved_record = None if existing is None else _record_of(kind, existing)
            resource._record = new
            self._call(f"set_{kind.kind}", resource)

    def _remove(self, change: Remove) -> None:
        kind = change.kind
        existing = self._object(kind, change.id)
        old = None if existing is None else _record_of(kind, existing)
        if change.version is not None and (old is None or old.version not in (0, change.version)):
            raise stale(change, old.version if old else None)
        if existing is None:
            return
        self._replaced.append(_Replaced(kind, change.id, old))
        self._delete(kind, change.id, existing)

    def _delete(self, kind: type[Record], id: str, existing: Any) -> None:
        if kind in (IntentRecord, KeyValueRecord):
            self._call("delete_key_value", _key(kind, id))
            if kind is IntentRecord and self._index is not None:
                self._index.remove(id)
        else:
            self._call(f"delete_{kind.kind}", existing)

    def _wrapped(self, record: Record) -> Any:
        if self.wrap is None:
            raise StoreError(f"The store {self} has no controller yet.", retryable=False)
        return self.wrap(record)


def _can_list(persistence: PersistenceDriverBase) -> bool:
    """Whether it can list all key-values, or requires a key, as in cinderlib 5."""
    try:
        inspect.signature(persistence.get_key_values).bind()
    except TypeError:
        return False
    return True


def _key(kind: type[Record], id: str) -> str:
    return INTENT_PREFIX + id if kind is IntentRecord else id


def _record_of(kind: type[R], resource: Any) -> R:
    record = getattr(resource, "_record", None)
    if record is None:
        record = KeyValueRecord(id=resource.key, value=resource.value)
    if kind is not IntentRecord:
        return cast(R, record)
    try:
        return decode(kind, record.value or "")
    except msgspec.MsgspecError:
        id = record.id.removeprefix(INTENT_PREFIX)
        raise damaged(kind, id, "its document is damaged") from None


def _stored(kind: type[R], resource: Any) -> R:
    """The record of an object from the persistence, which may have created it without a version."""
    record = _record_of(kind, resource)
    return record if record.version else replace(record, version=1)


def _matches(record: Record, where: Mapping[str, str]) -> bool:
    return all(getattr(record, field) == value for field, value in where.items())


def _place(record: Record) -> tuple[int, str]:
    return micros(record.created_at) if record.created_at else 0, record.id
