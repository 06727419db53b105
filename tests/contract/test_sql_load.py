"""The load of a dump, which stores many volumes in each transaction."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

import cinderlib as cl
from cinderlib.cli import storefile
from cinderlib.persistence import generate_key
from cinderlib.persistence.base import Put
from cinderlib.records import OperationRecord, SnapshotRecord, VolumeRecord
from cinderlib.serialization import VolumeDocument


def document(number: int, snapshots: int = 0) -> VolumeDocument:
    volume = VolumeRecord(
        id=str(uuid.UUID(int=number)), backend="a", size=1, name=f"v{number}", host="h@a#p"
    )
    return VolumeDocument(
        format=1,
        backend={"volume_backend_name": "a"},
        volume=volume,
        snapshots=[
            SnapshotRecord(
                id=str(uuid.UUID(int=number << 32 | at)),
                volume_id=volume.id,
                volume_size=1,
                backend="a",
            )
            for at in range(1, snapshots + 1)
        ],
    )


@pytest.fixture
def controller(url: str, tmp_path: Path):
    config = {"storage": "db", "connection": url, "encryption_keys": generate_key()}
    with cl.Controller(config, state_path=tmp_path / "state", history_limit=50) as found:
        yield found


def test_groups_are_loaded_and_existing_volumes_stay(controller: cl.Controller) -> None:
    existing = document(7)
    renamed = existing.volume
    controller.store.apply(Put(renamed))
    items = [document(number, number % 3) for number in range(1, 1201)]
    items += [document(2000, 1100), {"key": "k", "value": "v"}, document(2001), document(2001)]
    counts = storefile.load(controller, items)
    assert (counts.volumes, counts.key_values, counts.kept) == (1201, 1, 2)
    assert controller.store.count(VolumeRecord) == 1202
    snapshots = sum(number % 3 for number in range(1, 1201) if number != 7) + 1100
    assert controller.store.count(SnapshotRecord) == counts.snapshots == snapshots
    # The volumes of the first transaction, which had an existing one, are loaded one by one.
    (one,) = controller.history(str(uuid.UUID(int=600)))
    assert (one.operation, one.name) == ("volume.load", "500 volumes")
    assert 50 <= controller.store.count(OperationRecord) <= 150
    again = storefile.load(controller, items)
    assert (again.volumes, again.kept) == (0, 1204)
