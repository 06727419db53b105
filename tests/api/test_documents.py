"""Streams of documents of many volumes."""

from __future__ import annotations

from pathlib import Path

import pytest
from api.conftest import connector, damage

import cinderlib as cl
from cinderlib import serialization
from cinderlib.objects import documents_out
from cinderlib.persistence.base import Put
from cinderlib.records import SnapshotRecord, VolumeRecord, new_id

pytestmark = pytest.mark.library(reason="about documents")


def test_each_volume_has_its_snapshots_and_connections(
    controller: cl.Controller, array: cl.Backend
) -> None:
    """Including the volumes around the border of two queries, and the volumes of the last query."""
    made = [array.create_volume(1, name=f"v{n}") for n in range(documents_out.TOGETHER + 3)]
    for volume in (made[0], made[documents_out.TOGETHER - 1], made[documents_out.TOGETHER + 1]):
        for number in range(2):
            volume.create_snapshot(f"s{number}")
        volume.connect(connector(volume.name))
    found = list(controller.documents(controller.volumes()))
    assert [document.volume.id for document in found] == [volume.id for volume in made]
    assert [serialization.to_builtins(document) for document in found] == [
        volume.to_json(simplified=False) for volume in controller.volumes()
    ]
    assert sum(len(document.snapshots or ()) for document in found) == 6
    assert sum(len(document.connections or ()) for document in found) == 3
    lines = [serialization.to_line(document) for document in found]
    assert [controller.load(line) for line in lines] == made


def test_a_damaged_snapshot_does_not_hide_others(tmp_path: Path) -> None:
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    volumes = [
        VolumeRecord(id=new_id(), backend="b", size=1, host="h@b#p")
        for _ in range(documents_out.TOGETHER)
    ]
    snapshots = [
        SnapshotRecord(id=new_id(), backend="b", volume_id=volume.id, volume_size=1)
        for volume in volumes
    ]
    with cl.Controller(store, state_path=tmp_path) as controller:
        controller.store.apply(*map(Put, volumes + snapshots))
        damage(tmp_path, "snapshot", snapshots[3].id)
        found = list(controller.documents(controller.volumes()))
    assert [len(document.snapshots or ()) for document in found] == [
        0 if snapshot is snapshots[3] else 1 for snapshot in snapshots
    ]


@pytest.mark.parametrize("volumes", [0, 1])
def test_few_volumes(controller: cl.Controller, array: cl.Backend, volumes: int) -> None:
    for _ in range(volumes):
        array.create_volume(1)
    assert len(list(controller.documents(controller.volumes()))) == volumes
