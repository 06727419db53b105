"""Checks and errors that all stores share, and times as numbers."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable, Mapping
from typing import Any

from cinderlib.errors import DamagedRecord, InvalidInput, StaleRecord
from cinderlib.persistence.changes import Put, Remove

# Programs for cinderlib 5 subclass ``base.PersistenceDriverBase``.
from cinderlib.persistence.driver_base import DB as DB
from cinderlib.persistence.driver_base import PersistenceDriverBase as PersistenceDriverBase
from cinderlib.records import KINDS, Record

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
