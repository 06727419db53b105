"""The store contract: what a metadata store must do. Records in, records out; no objects, no SQL.

A store is one class with five methods to write (``get``, ``find``, ``apply``, ``count`` and
``close``). ``cinderlib.testing`` has the suite that says whether they are right.
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

#: How many records a page has when records are streamed.
PAGE = 500

#: The longest id and the longest value of an indexed field, in characters.
KEY_LENGTH = 255

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def storable(value: str) -> bool:
    """Whether a text can be an id or the value of an indexed field in every store: at most 255
    characters, none of them NUL, and all of them Unicode."""
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
    """Whether the record's id and the values of its indexed fields can be stored.

    :raises InvalidInput: one of them cannot.
    """
    for value in _keys[type(record)](record):
        # What nearly all are, without a call for each.
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


#: Gives the id and the indexed fields of a record, at least two values.
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
    """The error for a record that holds something that JSON cannot."""
    return InvalidInput(
        f"The {record.kind} {record.id!r} holds what JSON cannot: {type(error).__name__}.",
        resource=record.id,
    )


def check_where(kind: type[Record], where: Mapping[str, str] | None) -> Mapping[str, str]:
    """The condition of a ``find``, ``{}`` for none.

    :raises InvalidInput: it names a field that is not indexed.
    """
    for field in where or ():
        if field not in kind.indexed:
            known = ", ".join(kind.indexed) or "no field"
            raise InvalidInput(f"A {kind.kind} cannot be searched by {field!r}, only by {known}.")
    return where or {}


def micros(time: datetime.datetime) -> int:
    """A time as microseconds since 1970, exactly; one without a time zone is taken as UTC."""
    if time.tzinfo is None:
        time = time.replace(tzinfo=datetime.UTC)
    return (time - _EPOCH) // _MICROSECOND


def moment(time: datetime.datetime, number: int) -> datetime.datetime:
    """When the change with that number is made, in a transaction of that time: clocks can be too
    coarse to tell its records apart, and they are listed in the order of their creation."""
    return time + number * _MICROSECOND if number else time


def from_micros(time: int) -> datetime.datetime:
    """The opposite of :func:`micros`."""
    return _EPOCH + time * _MICROSECOND


def stale(change: Put | Remove, found: int | None) -> StaleRecord:
    """The error for a change whose expected version is not the store's.

    :param found: the store's version, ``None`` when it has no such record.
    """
    if isinstance(change, Put):
        kind, id, expected = change.record.kind, change.record.id, change.record.version
    else:
        kind, id, expected = change.kind.kind, change.id, change.version or 0
    if not expected:
        problem = "exists already"
    elif found is None:
        problem = "has been removed by another"
    else:
        problem = f"has been changed by another (version {found}, not {expected})"
    return StaleRecord(f"The {kind} {id!r} {problem}. Nothing was written.", resource=id)


def damaged(kind: type[Record], id: str, why: str) -> DamagedRecord:
    """The error for a record that is there and cannot be read.

    :param why: what is wrong with it, without any of it: it may be secret.
    """
    return DamagedRecord(
        f"The {kind.kind} {id!r} in the store cannot be read: {why}. Load it again from a dump,"
        " over what is there, or let reconcile remove it",
        resource=id,
    )


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


class Query(NamedTuple):
    """What :meth:`Store.query` is asked for: records of a kind by one of their fields.

    :ivar field: ``id``, or an indexed one.
    :ivar limit: at the most so many.
    :ivar like: of the connections of a volume, only the one with the id of this one, and those that
        can be for its host (see ``cinderlib.persistence.host_key``). More is no error: a store that
        cannot tell gives all. It goes without a limit.
    """

    kind: type[Record]
    field: str
    value: str
    limit: int | None = None
    like: ConnectionRecord | None = None


class Store(abc.ABC):
    """A metadata store. All methods may be called from any thread at any time.

    Every method raises :class:`cinderlib.errors.StoreError` when the store cannot do its work (and
    never an exception of the store's own library), with a message that names the store without its
    password.
    """

    #: Whether other processes see the same records; decides which locks are needed.
    shared: bool = True
    #: Locks that the store itself offers; without, a shared store has those of this host.
    locks: SharedLocks | None = None

    @abc.abstractmethod
    def get(self, kind: type[R], id: str) -> R | None:
        """The record of that kind with exactly that id, or ``None``.

        :raises DamagedRecord: it is there and cannot be read.
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

        :param where: fields of ``kind.indexed`` and the values they must equal; without, all.
        :param after: only those that come after this one, which may be gone by now: the last of
            the previous page.
        :param limit: at the most so many.
        :raises DamagedRecord: one of them cannot be read. Who asks what a volume has must not be
            told less than all.
        """

    def query(self, *queries: Query) -> list[list[Any]]:
        """The records of several queries, each as :meth:`find` gives them. A store that can answers
        them all at once: each question takes a way to the database.

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
        """How many records there are, those that cannot be read among them."""

    @abc.abstractmethod
    def apply(self, *changes: Change) -> tuple[Record, ...]:
        """Make all changes or none, durably.

        A record put gets ``version`` one higher than the store's (1 for a new one), ``updated_at``
        now, and where it has no ``created_at``, the one that the store has, or now. Of what is new
        in one call, each is created later than those given before it (see :func:`moment`).

        :returns: the records as they were written, in the order of the ``Put`` changes.
        :raises StaleRecord: a version was not the expected one; ``resource`` is the id. Nothing
            was changed.
        :raises InvalidInput: an id or an indexed field cannot be stored (see :func:`storable`).
            Nothing was changed.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Give back connections and files. A closed store raises :class:`StoreError`."""

    def iterate(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> Iterator[R]:
        """The records of :meth:`find`, read a page at a time, so that memory stays constant and no
        transaction stays open. Those that cannot be read are passed over, with a warning."""
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
        """The records of :meth:`find`, and in the place of one that cannot be read the error that
        names it. A store whose records can be damaged one by one overrides this.

        :param page: how many are read at a time.
        """
        while True:
            found = self.find(kind, where, after=after, limit=page)
            yield from found
            if len(found) < page:
                return
            after = found[-1]

    def rewrite(self, records: Sequence[Record]) -> list[Record]:
        """Write records again that were read and are the same but for how their secrets are
        encrypted. Those that others have changed or removed since are left alone.

        Here it is a write as any other. A store that can leaves ``version`` and ``updated_at`` as
        they are, so that whoever has read a record can still write it, and keeps nothing of what
        the record was.

        :returns: those that were left alone.
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
