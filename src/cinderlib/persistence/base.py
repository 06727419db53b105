"""The store contract: what a metadata store must do. Records in, records out; no objects, no SQL.

A store is one class with five methods to write (``get``, ``find``, ``apply``, ``count`` and
``close``). ``cinderlib.testing`` has the suite that says whether they are right.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from cinderlib.records import Record

R = TypeVar("R", bound=Record)

#: How many records a page has when records are streamed.
PAGE = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Put:
    """Write a record.

    With ``check`` the record must be the one that the store has: its ``version`` 0 means that the
    store must not have it yet, any other that the store's must be the same. Without ``check`` it
    is written whatever is there.
    """

    record: Record
    check: bool = True


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    """Remove a record. With a ``version``, the store's must be the same; without, a record that is
    not there is no error."""

    kind: type[Record]
    id: str
    version: int | None = None


Change = Put | Remove


class Store(abc.ABC):
    """A metadata store. All methods may be called from any thread at any time.

    Every method raises :class:`cinderlib.errors.StoreError` when the store cannot do its work (and
    never an exception of the store's own library), with a message that names the store without its
    password.
    """

    #: Whether other processes see the same records; decides which locks are needed.
    shared: bool = True
    #: A tooz URL whose locks reach as far as the store does; ``None``: lock files.
    lock_url: str | None = None

    @abc.abstractmethod
    def get(self, kind: type[R], id: str) -> R | None:
        """The record of that kind with exactly that id, or ``None``."""

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

        :param where: fields of ``kind.indexed`` and the values they must equal; without, all.
        :param after: only those that come after this one, which may be gone by now: the last of
            the previous page.
        :param limit: at the most so many.
        """

    @abc.abstractmethod
    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        """How many records :meth:`find` would give without a limit."""

    @abc.abstractmethod
    def apply(self, *changes: Change) -> tuple[Record, ...]:
        """Make all changes or none, durably.

        A record put gets ``version`` one higher than the store's (1 for a new one), ``updated_at``
        now, and ``created_at`` now where it has none.

        :returns: the records as they were written, in the order of the ``Put`` changes.
        :raises StaleRecord: a version was not the expected one; ``resource`` is the id. Nothing
            was changed.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Give back connections and files. A closed store raises :class:`StoreError`."""

    def iterate(self, kind: type[R], where: Mapping[str, str] | None = None) -> Iterator[R]:
        """The records of :meth:`find`, read a page at a time, so that memory stays constant and no
        transaction stays open."""
        last: R | None = None
        while True:
            page = self.find(kind, where, after=last, limit=PAGE)
            yield from page
            if len(page) < PAGE:
                return
            last = page[-1]

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()
