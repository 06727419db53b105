"""Documents of many volumes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cinderlib import serialization
from cinderlib.errors import DamagedRecord
from cinderlib.persistence.base import Query, Store
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.volume import Volume

#: Number of volumes in one query for snapshots and connections. One query for each volume takes
#: several times as long, and larger queries take longer again.
TOGETHER = 10

C = TypeVar("C", SnapshotRecord, ConnectionRecord)
_Related = tuple[list[SnapshotRecord], list[ConnectionRecord]]


def documents(
    controller: Controller, volumes: Iterable[Volume]
) -> Iterator[serialization.VolumeDocument]:
    """See :meth:`cinderlib.Controller.documents`. Memory stays constant."""
    left = iter(volumes)
    while some := [
        cast(VolumeRecord, each._pending()) for each in itertools.islice(left, TOGETHER)
    ]:
        related = _related(controller.store, [volume.id for volume in some])
        for volume, (snapshots, connections) in zip(some, related, strict=True):
            yield serialization.volume_document(
                volume,
                snapshots=snapshots,
                connections=connections,
                options=controller.document_options(volume.backend),
            )


def _related(store: Store, ids: Sequence[str]) -> list[_Related]:
    """The snapshots and connections of each volume."""
    if len(ids) == TOGETHER:  # always the same statement, which the database caches
        try:
            answers = store.query(
                *[Query(SnapshotRecord, "volume_id", id) for id in ids],
                *[Query(ConnectionRecord, "volume_id", id) for id in ids],
            )
        except DamagedRecord:
            pass  # Read one by one, with those of other volumes.
        else:
            return list(zip(answers[:TOGETHER], answers[TOGETHER:], strict=True))
    return [
        (
            list(store.iterate(SnapshotRecord, {"volume_id": id})),
            list(store.iterate(ConnectionRecord, {"volume_id": id})),
        )
        for id in ids
    ]


def of_backend(
    store: Store, backend: str, options: Mapping[str, Any] | None
) -> list[serialization.VolumeDocument]:
    """Documents of all volumes of a backend. This takes three listings; querying each volume would
    take two queries per volume."""
    where = {"backend": backend}
    snapshots = _by_volume(store.iterate(SnapshotRecord, where))
    connections = _by_volume(store.iterate(ConnectionRecord, where))
    return [
        serialization.volume_document(
            record,
            snapshots=snapshots.get(record.id, ()),
            connections=connections.get(record.id, ()),
            options=options,
        )
        for record in store.iterate(VolumeRecord, where)
    ]


def _by_volume(records: Iterable[C]) -> dict[str, list[C]]:
    found: dict[str, list[C]] = {}
    for record in records:
        found.setdefault(record.volume_id, []).append(record)
    return found
