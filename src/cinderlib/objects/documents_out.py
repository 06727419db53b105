"""Documents of many volumes as a stream, whose memory stays constant."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from cinderlib import serialization
from cinderlib.errors import DamagedRecord
from cinderlib.persistence.base import Query, Store
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.volume import Volume

#: Of how many volumes the store is asked at once for what belongs to them: asking for each takes
#: several times as long, and a database takes longer again for a question of more parts.
TOGETHER = 10

_Related = tuple[list[SnapshotRecord], list[ConnectionRecord]]


def documents(
    controller: Controller, volumes: Iterable[Volume]
) -> Iterator[serialization.VolumeDocument]:
    """See :meth:`cinderlib.Controller.documents`."""
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
    if len(ids) == TOGETHER:  # one form of question, which the database keeps
        try:
            answers = store.query(
                *[Query(SnapshotRecord, "volume_id", id) for id in ids],
                *[Query(ConnectionRecord, "volume_id", id) for id in ids],
            )
        except DamagedRecord:
            pass  # One by one the others are found.
        else:
            return list(zip(answers[:TOGETHER], answers[TOGETHER:], strict=True))
    return [
        (
            list(store.iterate(SnapshotRecord, {"volume_id": id})),
            list(store.iterate(ConnectionRecord, {"volume_id": id})),
        )
        for id in ids
    ]
