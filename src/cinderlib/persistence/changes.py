"""Requests to a store: to write, remove and find records."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

# Programs for cinderlib 5 subclass ``base.PersistenceDriverBase``.
from cinderlib.persistence.driver_base import DB as DB
from cinderlib.persistence.driver_base import PersistenceDriverBase as PersistenceDriverBase
from cinderlib.records import ConnectionRecord, Record


class Put(msgspec.Struct, frozen=True):
    """Write a record.

    With ``check``, the version must match: with ``version`` 0, the record must not exist in the
    store; with any other, the store must have that version. Without ``check``, an existing record
    is overwritten.
    """

    record: Record
    check: bool = True


class Remove(msgspec.Struct, frozen=True):
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
