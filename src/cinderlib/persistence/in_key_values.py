"""Records that a store keeps as key-values, so that every store can keep them: groups, group
snapshots, and the replication of backends.

A group has the IDs of all volumes and group snapshots that belong to it. A store that cannot list
its key-values finds them from the ID of the group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from cinderlib.errors import DamagedRecord
from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.records import (
    GroupRecord,
    GroupSnapshotRecord,
    KeyValueRecord,
    ReplicationRecord,
    decode,
    encode,
    replace,
)

Kept = GroupRecord | GroupSnapshotRecord | ReplicationRecord
G = TypeVar("G", GroupRecord, GroupSnapshotRecord, ReplicationRecord)


def key(kind: type[Kept], id: str) -> str:
    """The key of a record."""
    return f"{_prefix(kind)}{id}"


def find(store: Store, kind: type[G], id: str) -> G | None:
    """A record, or ``None``.

    :raises DamagedRecord: it cannot be read.
    """
    record = store.get(KeyValueRecord, key(kind, id))
    return None if record is None else _decoded(kind, record)


def iterate(store: Store, kind: type[G]) -> Iterator[G]:
    """All records of this kind in a store, in the order of creation.

    :raises Unsupported: the store is a plug-in for cinderlib 5 that cannot list key-values.
    :raises DamagedRecord: one of them cannot be read.
    """
    for found in scan(store, kind):
        if isinstance(found, DamagedRecord):
            raise found
        yield found


def scan(store: Store, kind: type[G]) -> Iterator[G | DamagedRecord]:
    """The same, with an error in place of each record that cannot be read.

    :raises Unsupported: as of :func:`iterate`.
    """
    for record in store.iterate(KeyValueRecord):
        if record.id.startswith(_prefix(kind)):
            try:
                yield _decoded(kind, record)
            except DamagedRecord as exc:
                yield exc


def put(record: Kept) -> Put:
    """The change that writes a record, if no other process has changed it."""
    return Put(
        KeyValueRecord(
            id=key(type(record), record.id),
            version=record.version,
            created_at=record.created_at,
            value=encode(replace(record, version=0, updated_at=None)).decode(),
        )
    )


def remove(record: Kept) -> Remove:
    """The change that removes it."""
    return Remove(KeyValueRecord, key(type(record), record.id))


def written(record: G, stored: KeyValueRecord) -> G:
    """A record as it was written.

    :param stored: what the store returned for :func:`put`.
    """
    return replace(record, version=stored.version, updated_at=stored.updated_at)


def _prefix(kind: type[Kept]) -> str:
    return f"cinderlib/{kind.kind.replace('_', '-')}/"


def _decoded(kind: type[G], record: KeyValueRecord) -> G:
    try:
        found = decode(kind, record.reveal() or "")
    except msgspec.MsgspecError as exc:
        raise DamagedRecord(
            f"The {kind.kind.replace('_', ' ')} in the key-value {record.id!r} of the store cannot"
            f" be read: {exc}",
            resource=record.id,
        ) from None
    return written(found, record)
