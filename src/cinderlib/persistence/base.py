"""The interface of a metadata store. It takes and returns records; no objects, no SQL.

A store is one class with five methods (``get``, ``find``, ``apply``, ``count`` and ``close``).
``cinderlib.testing`` has a test suite that checks a store.
"""

from __future__ import annotations

import abc
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from cinderlib.errors import DamagedRecord, StaleRecord
from cinderlib.locking.shared import SharedLocks
from cinderlib.persistence.changes import Change, Put, Query, Remove
from cinderlib.persistence.checks import (
    KEY_LENGTH,
    check_keys,
    check_where,
    damaged,
    from_micros,
    micros,
    moment,
    not_json,
    stale,
    storable,
)

# Programs for cinderlib 5 subclass ``base.PersistenceDriverBase``.
from cinderlib.persistence.driver_base import DB, PersistenceDriverBase
from cinderlib.records import Record

__all__ = [
    "DB",
    "KEY_LENGTH",
    "PAGE",
    "Change",
    "PersistenceDriverBase",
    "Put",
    "Query",
    "Remove",
    "Store",
    "check_keys",
    "check_where",
    "damaged",
    "from_micros",
    "micros",
    "moment",
    "not_json",
    "stale",
    "storable",
]

LOG = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

#: Number of records in a page when records are streamed.
PAGE = 500


class Store(abc.ABC):
    """A metadata store. All methods may be called from any thread at any time.

    If the store fails, a method raises :class:`cinderlib.errors.StoreError`, never an exception of
    the store's own library. The message names the store, without its password.
    """

    #: Whether other processes see the same records; this decides which locks are needed.
    shared: bool = True
    #: The store's own locks. Without them, a shared store uses locks of this host.
    locks: SharedLocks | None = None
    #: Whether it keeps records of the kind :class:`cinderlib.records.OperationRecord`, the history.
    #: A store that was written for an earlier version of the library does not.
    keeps_history: bool = False
    #: Whether it encrypts secrets.
    encrypts: bool = False

    #: How many records a transaction can have if many records are loaded. Larger transactions save
    #: time, and others wait longer for them.
    bulk: int = 1

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
