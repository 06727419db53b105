"""What the project's own stores share: checks of the arguments of searches, and of documents."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec

from cinderlib.errors import DamagedRecord
from cinderlib.persistence.base import PAGE, Store, check_where, damaged, storable
from cinderlib.records import Record, decode

R = TypeVar("R", bound=Record)


class CheckedStore(Store):
    """A store that defines its searches for conditions that are valid and can match."""

    def find(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> list[R]:
        where = check_where(kind, where)
        if (limit is not None and limit <= 0) or not _can_match(where):
            return []
        return self._find(kind, where, after, limit)

    def scan(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        page: int = PAGE,
    ) -> Iterator[R | DamagedRecord]:
        where = check_where(kind, where)
        return self._scan(kind, where, after, page) if _can_match(where) else iter(())

    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        where = check_where(kind, where)
        return self._count(kind, where) if _can_match(where) else 0

    @abc.abstractmethod
    def _find(
        self, kind: type[R], where: Mapping[str, str], after: R | None, limit: int | None
    ) -> list[R]:
        """See :meth:`~cinderlib.persistence.base.Store.find`."""

    @abc.abstractmethod
    def _count(self, kind: type[Record], where: Mapping[str, str]) -> int:
        """See :meth:`~cinderlib.persistence.base.Store.count`."""

    def _scan(
        self, kind: type[R], where: Mapping[str, str], after: R | None, page: int
    ) -> Iterator[R | DamagedRecord]:
        """See :meth:`~cinderlib.persistence.base.Store.scan`."""
        return super().scan(kind, where, after=after, page=page)


def _can_match(where: Mapping[str, str]) -> bool:
    """Whether a record can have these values: those that cannot be stored match nothing."""
    return all(storable(value) for value in where.values())


def decode_document(kind: type[R], id: str, document: bytes | str) -> R:
    """The record with that ID, from its document in a store.

    :raises DamagedRecord: it cannot be read, or is the document of another record.
    """
    try:
        record = decode(kind, document)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        # The document may be secret. msgspec's message has only the path and the types, but its
        # traceback refers to the document.
        raise damaged(kind, id, "its document is damaged") from None
    if record.id != id:
        raise damaged(kind, id, "its document belongs to another record")
    return record
