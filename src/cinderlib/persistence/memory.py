"""A store in the memory of this process; its records are lost when the process ends."""

from __future__ import annotations

import bisect
import datetime
import operator
import threading
from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

from cinderlib.errors import StoreError
from cinderlib.persistence.base import (
    Change,
    Put,
    Remove,
    check_keys,
    micros,
    moment,
    stale,
)
from cinderlib.persistence.checked import CheckedStore
from cinderlib.records import KINDS, Record, now, replace

R = TypeVar("R", bound=Record)

#: A position in the order of creation.
Place = tuple[int, str]


class _Order:
    """A set of IDs in the order of creation.

    New IDs are nearly always appended, because they are the newest. A removed ID leaves its entry
    in the list. When an eighth of the list are such entries, it is rebuilt. Therefore adding and
    removing are O(1) amortized; removing from the middle of a list would be O(n).
    """

    __slots__ = ("_places", "members")

    def __init__(self) -> None:
        self._places: list[Place] = []
        self.members: dict[str, int] = {}

    def add(self, created: int, id: str) -> None:
        places, place = self._places, (created, id)
        if not places or places[-1] < place:
            places.append(place)
        else:
            at = bisect.bisect_left(places, place)
            if places[at] != place:
                places.insert(at, place)
        self.members[id] = created

    def remove(self, id: str) -> None:
        del self.members[id]
        left = len(self._places) - len(self.members)
        if left > 64 and left * 8 > len(self._places):
            self._places = sorted((created, id) for id, created in self.members.items())

    def ids(self, after: Place | None) -> Iterator[str]:
        places, members = self._places, self.members
        start = bisect.bisect_right(places, after) if after else 0
        for at in range(start, len(places)):
            created, id = places[at]
            if members.get(id) == created:
                yield id


#: Identifies an index: a field and its value.
Key = tuple[str, str]
_ALL: Key = ("", "")


class _Table:
    """The records of one kind and the indexes on them."""

    __slots__ = ("_fields", "_indexes", "_place", "records")

    def __init__(self, kind: type[Record]) -> None:
        self.records: dict[str, Record] = {}
        self._fields = kind.indexed
        #: The fields that determine the record's places in the indexes.
        self._place = operator.attrgetter("created_at", *kind.indexed)
        self._indexes: dict[Key, _Order] = {}

    def write(self, id: str, record: Record | None) -> Record | None:
        """Store a record, or remove it with ``None``. Returns the previous record."""
        old = self.records.get(id)
        if old is None or record is None or self._place(old) != self._place(record):
            if old is not None:
                self._leave_places(old)
            if record is not None:
                self._take_places(record)
        if record is not None:
            self.records[id] = record
        else:
            self.records.pop(id, None)
        return old

    def _take_places(self, record: Record) -> None:
        created, indexes = _created(record), self._indexes
        for key in self._keys(record):
            order = indexes.get(key)
            if order is None:
                order = indexes[key] = _Order()
            order.add(created, record.id)

    def _leave_places(self, record: Record) -> None:
        for key in self._keys(record):
            order = self._indexes[key]
            if len(order.members) > 1:
                order.remove(record.id)
            else:
                del self._indexes[key]

    def _keys(self, record: Record) -> list[Key]:
        """The indexes that contain the record."""
        found = [_ALL]
        for field in self._fields:
            value = getattr(record, field)
            if value is not None:
                found.append((field, value))
        return found

    def candidates(self, where: Mapping[str, str]) -> _Order:
        """The smallest set that contains all matching records."""
        orders = [self._indexes.get(key) or _Order() for key in (where.items() or (_ALL,))]
        return min(orders, key=lambda order: len(order.members))


class MemoryStore(CheckedStore):
    """A store in memory, invisible to other processes. It returns its records without copying."""

    shared = False
    keeps_history = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[type[Record], _Table] | None = {
            kind: _Table(kind) for kind in KINDS.values()
        }

    def __repr__(self) -> str:
        return "MemoryStore()"

    def _table(self, kind: type[Record]) -> _Table:
        if self._tables is None:
            raise StoreError("The memory store is closed.", retryable=False)
        return self._tables[kind]

    def get(self, kind: type[R], id: str) -> R | None:
        with self._lock:
            return cast("R | None", self._table(kind).records.get(id))

    def _find(
        self, kind: type[R], where: Mapping[str, str], after: R | None, limit: int | None
    ) -> list[R]:
        place = (_created(after), after.id) if after else None
        found: list[Record] = []
        with self._lock:
            table = self._table(kind)
            for id in table.candidates(where).ids(place):
                record = table.records[id]
                if len(where) < 2 or all(getattr(record, f) == v for f, v in where.items()):
                    found.append(record)
                    if len(found) == limit:
                        break
        return cast("list[R]", found)

    def _count(self, kind: type[Record], where: Mapping[str, str]) -> int:
        if len(where) > 1:
            return len(self.find(kind, where))
        with self._lock:
            table = self._table(kind)
            return len(table.candidates(where).members)

    def apply(self, *changes: Change) -> tuple[Record, ...]:
        for change in changes:
            if isinstance(change, Put):
                check_keys(change.record)
        written: list[Record] = []
        undo: list[tuple[_Table, str, Record | None]] = []
        with self._lock:
            time = now()
            try:
                for at, change in enumerate(changes):
                    if isinstance(change, Put):
                        table, record = self._table(type(change.record)), change.record
                        new = _written(change, table.records.get(record.id), moment(time, at))
                        undo.append((table, record.id, table.write(record.id, new)))
                        written.append(new)
                    else:
                        table = self._table(change.kind)
                        _check_removal(change, table.records.get(change.id))
                        undo.append((table, change.id, table.write(change.id, None)))
            except BaseException:
                for table, id, old in reversed(undo):
                    table.write(id, old)
                raise
        return tuple(written)

    def close(self) -> None:
        with self._lock:
            self._tables = None


def _created(record: Record) -> int:
    return micros(record.created_at) if record.created_at else 0


def _written(change: Put, old: Record | None, time: datetime.datetime) -> Record:
    record, version = change.record, old.version if old else 0
    if change.check and record.version != version:
        raise stale(change, old.version if old else None)
    created = record.created_at or (old.created_at if old else None) or time
    return replace(record, version=version + 1, created_at=created, updated_at=time)


def _check_removal(change: Remove, old: Record | None) -> None:
    if change.version is not None and (old is None or old.version != change.version):
        raise stale(change, old.version if old else None)
