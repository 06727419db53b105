"""Connections: those of a volume, and their interrupted operations.

They change under the lock of the volume, in :mod:`.connect` and :mod:`.disconnect`. A volume is
exported with its first connection and unexported with its last one. A host has one connection to a
volume.

The node's side is in :mod:`.attachments`. The intents of compound operations, which use both sides,
are in :mod:`.whole_call_intents`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cinderlib import errors
from cinderlib.operations import volumes
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.journal import Journal
from cinderlib.persistence.base import Query
from cinderlib.records import ConnectionRecord

TRANSITIONAL = frozenset({"attaching", "detaching"})
#: How many connections of a volume to read to know whether one is the last: it and another one.
ENOUGH = 2


def get(journal: Journal, connection_id: str) -> ConnectionRecord:
    """The connection with this ID.

    :raises ConnectionNotFound: there is none.
    """
    connection = journal.store.get(ConnectionRecord, connection_id)
    if connection is None:
        raise_not_found(errors.ConnectionNotFound, "connection", connection_id)
    return connection


def of_volume(volume_id: str, limit: int | None = None) -> Query:
    """The query for the connections of a volume."""
    return Query(ConnectionRecord, "volume_id", volume_id, limit)


def settle(journal: Journal, found: Sequence[ConnectionRecord]) -> bool:
    """Settle the interrupted operations on connections of a volume, whose lock is held.

    :returns: whether there were any.
    """
    settled = [
        journal.settle(connection.id, volumes.lock_name(connection.volume_id))
        for connection in found
        if connection.status in TRANSITIONAL
    ]
    return any(settled)


def settle_all(journal: Journal, volume_id: str) -> None:
    """Settle all connections of the volume: if one was interrupted, others may be too."""
    settle(journal, journal.store.find(ConnectionRecord, {"volume_id": volume_id}))
