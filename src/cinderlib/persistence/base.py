"""The interface of a metadata store. It takes and returns records; no objects, no SQL.

A store is one class with five methods (``get``, ``find``, ``apply``, ``count`` and ``close``).
``cinderlib.testing`` has a test suite that checks a store.
"""

from __future__ import annotations

import abc
import dataclasses
import datetime
import itertools
import logging
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from cinderlib.errors import DamagedRecord, InvalidInput, StaleRecord
from cinderlib.locking.shared import SharedLocks

# Programs for cinderlib 5 subclass ``base.PersistenceDriverBase``.
from cinderlib.persistence.driver_base import DB as DB
from cinderlib.persistence.driver_base import PersistenceDriverBase as PersistenceDriverBase
from cinderlib.records import KINDS, ConnectionRecord, Record

LOG = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

#: Number of records in a page when records are streamed.
PAGE = 500

#: Maximum length of an ID and of the value of an indexed field, in characters.
KEY_LENGTH = 255

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def storable(value: str) -> bool:
    """Whether every store can store a text as an ID or as the value of an indexed field: at most
    255 characters of valid Unicode without NUL."""
    if len(value) > KEY_LENGTH or "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_keys(record: Record) -> None:
    """Check that the record's ID and indexed fields can be stored.

    :raises InvalidInput: one of them cannot be stored.
    """
    for value in _keys[type(record)](record):
        # Nearly all values pass this check, without a function call for each.
        if value is not None and not (
            value.isascii() and len(value) <= KEY_LENGTH and "\0" not in value
        ):
            break
    else:
        if record.id:
            return
    if not record.id or not storable(record.id):
        raise InvalidInput(_unstorable(record, "id", record.id), resource=record.id)
    for field in record.indexed:
        value = getattr(record, field)
        if value is not None and not storable(value):
            raise InvalidInput(_unstorable(record, field, value), resource=record.id)


#: Returns the ID and the indexed fields of a record, at least two values.
_keys: Mapping[type[Record], Callable[[Any], tuple[str | None, ...]]] = {
    kind: operator.attrgetter("id", *(kind.indexed or ("id",))) for kind in KINDS.values()
}


def _unstorable(record: Record, field: str, value: str) -> str:
    return (
        f"The {field} {value[:80]!r} of a {record.kind} cannot be stored: it must be text of "
        f"{'1 to ' if field == 'id' else 'at most '}{KEY_LENGTH} characters without NUL or "
        f"surrogates, and has {len(value)} characters."
    )


def not_json(record: Record, error: Exception) -> InvalidInput:
    """The error for a record with a value that JSON cannot represent."""
    return InvalidInput(
        f"The {record.kind} with the ID {record.id!r} contains a value that JSON cannot represent: "
        f"{type(error).__name__}.",
        resource=record.id,
    )


def check_where(kind: type[Record], where: Mapping[str, str] | None) -> Mapping[str, str]:
    """Check the condition of a ``find``; returns ``{}`` for ``None``.

    :raises InvalidInput: it contains a field that is not indexed.
    """
    for field in where or ():
        if field not in kind.indexed:
            known = ", ".join(kind.indexed) or "no field"
            raise InvalidInput(f"A {kind.kind} cannot be searched by {field!r}, only by {known}.")
    return where or {}


def micros(time: datetime.datetime) -> int:
    """A time as microseconds since 1970, exactly; UTC is assumed without a time zone."""
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    return (time - _EPOCH) // _MICROSECOND


def moment(time: datetime.datetime, number: int) -> datetime.datetime:
    """The creation time of the record with this number in a transaction. Clocks can be too coarse
    to give the records of a transaction different times, and listings are in the order of
    creation."""
    return time + number * _MICROSECOND if number else time


def from_micros(time: int) -> datetime.datetime:
    """The opposite of :func:`micros`."""
    return _EPOCH + time * _MICROSECOND


def stale(change: Put | Remove, found: int | None) -> StaleRecord:
    """The error for a change whose expected version differs from the store's.

    :param found: the version in the store, ``None`` if the store has no such record.
    """
    if isinstance(change, Put):
        kind, id, expected = change.record.kind, change.record.id, change.record.version
    else:
        kind, id, expected = change.kind.kind, change.id, change.version or 0
    if not expected:
        problem = "already exists"
    elif found is None:
        problem = "was removed by another writer"
    else:
        problem = f"was changed by another writer (version {found}, expected {expected})"
    return StaleRecord(
        f"The {kind} with the ID {id!r} {problem}. The write was rejected.", resource=id
    )


def damaged(kind: type[Record], id: str, why: str) -> DamagedRecord:
    """The error for a record that exists but cannot be read.

    :param why: the problem, without any content of the record: it may be secret.
    """
    return DamagedRecord(
        f"The {kind.kind} {id!r} in the store cannot be read: {why}. Load it again from a dump,"
        " which overwrites it, or remove it with reconcile",
        resource=id,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Put:
    """Write a record.

    With ``check``, the version must match: with ``version`` 0, the record must not exist in the
    store; with any other, the store must have that version. Without ``check``, an existing record
    is overwritten.
    """

    record: Record
    check: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    """Remove a record. With a ``version``, the store must have that version. Without one, a missing
    record is not an error."""

    kind: type[Record]
    id: str
    version: int | None = None


Change = Put | Remove


class Query(NamedTuple):
    """A question to :meth:`Store.query`: records of a kind with a value in one field.

    :ivar field: ``id``, or an indexed field.
    :ivar limit: the maximum number of records.
    :ivar like: select only connections of a volume that have this one's ID or that may be for its
        host (see ``cinderlib.persistence.host_key``). A store may return more, if it cannot select
        them. Not combined with ``limit``.
    """

    kind: type[Record]
    field: str
    value: str
    limit: int | None = None
    like: ConnectionRecord | None = None


class Store(abc.ABC):
    """A metadata store. All methods may be called from any thread at any time.

    If the store fails, a method raises :class:`cinderlib.errors.StoreError`, never an exception of
    the store's own library. The message names the store, without its password.
    """

    #: Whether other processes see the same records; this decides which locks are needed.
    shared: bool = True
    #: The store's own locks. Without them, a shared store uses locks of this host.
    locks: SharedLocks | None = None

    @abc.abstractmethod
    def get(self, kind: type[R], id: str) -> R | None:
        """The record of that kind with exactly that ID, or ``None``.

        :raises DamagedRecord: it exists but cannot be read.
        """

    @abc.abstractmethod
    def find(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> list[R]:
        """Records in the order of their creation (``created_at``, then ``id``).

        :param where: fields of ``kind.indexed`` and the values that they must have; by default all
            records.
        :param after: only records after this one, which may have been removed since: the last
            record of the previous page.
        :param limit: the maximum number of records.
        :raises DamagedRecord: one of them cannot be read. The result is never incomplete: it can
            decide whether a volume may be deleted.
        """

    def query(self, *queries: Query) -> list[list[Any]]:
        """The records of several queries, each as :meth:`find` returns them. A store answers them
        together if it can, to save round trips.

        :raises DamagedRecord: one of them cannot be read.
        """
        return [self._answer(query) for query in queries]

    def _answer(self, query: Query) -> list[Any]:
        kind, field, value, limit, _ = query
        if field == "id":
            record = self.get(kind, value)
            return [] if record is None else [record]
        return self.find(kind, {field: value}, limit=limit)

    @abc.abstractmethod
    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        """The number of records, including records that cannot be read."""

    @abc.abstractmethod
    def apply(self, *changes: Change) -> tuple[Record, ...]:
        """Apply all changes or none, durably.

        A written record gets a ``version`` one higher than the store's (1 for a new record) and the
        current time as ``updated_at``. If it has no ``created_at``, it gets the store's, or the
        current time. New records of one call are created in the order of the changes (see
        :func:`moment`).

        :returns: the written records, in the order of the ``Put`` changes.
        :raises StaleRecord: a version was not the expected one; ``resource`` is the ID. Nothing
            changed.
        :raises InvalidInput: an ID or an indexed field cannot be stored (see :func:`storable`).
            Nothing changed.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Close connections and files. A closed store raises :class:`StoreError`."""

    def iterate(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> Iterator[R]:
        """The records of :meth:`find`, read in pages: memory stays constant and no transaction
        stays open. Records that cannot be read are skipped, with a warning."""
        if limit is not None and limit <= 0:
            return iter(())
        page = PAGE if limit is None else min(PAGE, limit)
        return itertools.islice(self._readable(kind, where, after, page), limit)

    def _readable(
        self, kind: type[R], where: Mapping[str, str] | None, after: R | None, page: int
    ) -> Iterator[R]:
        for found in self.scan(kind, where, after=after, page=page):
            if isinstance(found, DamagedRecord):
                LOG.warning("%s", found)
            else:
                yield found

    def scan(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        page: int = PAGE,
    ) -> Iterator[R | DamagedRecord]:
        """The records of :meth:`find`, and an error in place of each record that cannot be read. A
        store whose records can be damaged individually overrides this.

        :param page: number of records to read at a time.
        """
        while True:
            found = self.find(kind, where, after=after, limit=page)
            yield from found
            if len(found) < page:
                return
            after = found[-1]

    def rewrite(self, records: Sequence[Record]) -> list[Record]:
        """Write records again after only the encryption of their secrets changed. Records that
        others have changed or removed since are not written.

        This default is a normal write. If it can, a store keeps ``version`` and ``updated_at``, so
        that others who have read a record can still write it, and wipes the old content.

        :returns: the records that were not written.
        """
        left: list[Record] = []
        for record in records:
            try:
                self.apply(Put(record))
            except StaleRecord:
                left.append(record)
        return left

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()
