"""Requests that are refused in the current state, with the error code for a CSI plug-in.

``docs/csi-errors.md`` lists the conditions and their tests, in this module and others.
"""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from api.conftest import connector, files
from api.holding import held

import cinderlib as cl
from cinderlib.persistence.base import Put
from cinderlib.records import VolumeRecord, replace


def test_invalid_sizes_are_refused(backend: cl.Backend, root: Path) -> None:
    for size in (0, -1, 2**31, float("inf"), float("nan")):
        with pytest.raises(cl.errors.OutOfRange):
            backend.create_volume(size)
    assert files(root) == []


def test_sizes_below_the_current_size_are_refused(backend: cl.Backend) -> None:
    volume = backend.create_volume(2)
    snapshot = volume.create_snapshot()
    for ask in (
        lambda: volume.extend(1),
        lambda: volume.clone(size=1),
        lambda: snapshot.create_volume(size=1),
    ):
        with pytest.raises(cl.errors.OutOfRange) as caught:
            ask()
        assert caught.value.code == "OUT_OF_RANGE"
    assert backend.volumes == [volume]


def test_deleted_resources_cannot_be_used(backend: cl.Backend, root: Path) -> None:
    volume, other = backend.create_volume(1), backend.create_volume(1)
    snapshot = other.create_snapshot()
    volume.delete()
    snapshot.delete()
    for ask in (
        volume.clone,
        volume.create_snapshot,
        volume.attach,
        lambda: volume.extend(2),
        lambda: volume.connect(connector("alpha")),
    ):
        with pytest.raises(cl.errors.VolumeNotFound) as caught:
            ask()
        assert caught.value.code == "NOT_FOUND"
    with pytest.raises(cl.errors.SnapshotNotFound):
        snapshot.create_volume()
    with pytest.raises(cl.errors.SnapshotNotFound):
        other.revert_to_snapshot(snapshot)
    assert files(root) == [other.name_in_storage]


def test_unknown_resources_are_not_found(controller: cl.Controller, backend: cl.Backend) -> None:
    unknown = str(uuid.uuid4())
    with pytest.raises(cl.errors.VolumeNotFound):
        controller.volume(unknown)
    with pytest.raises(cl.errors.SnapshotNotFound):
        controller.snapshot(unknown)
    with pytest.raises(cl.errors.ConnectionNotFound):
        controller.connection(unknown)


def test_an_id_of_another_volumes_snapshot_is_refused(backend: cl.Backend) -> None:
    first, second = backend.create_volume(1), backend.create_volume(1)
    snapshot = first.create_snapshot("kept")
    assert first.create_snapshot("kept", id=snapshot.id).changed is False
    with pytest.raises(cl.errors.AlreadyExists) as caught:
        second.create_snapshot("kept", id=snapshot.id)
    assert caught.value.differences == {"volume_id": (first.id, second.id)}
    assert second.snapshots == []


def test_a_busy_volume_is_refused_after_the_lock_timeout(tmp_path: Path) -> None:
    """Busy with an operation of another thread, process or host."""
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    state = tmp_path / "state"
    with (
        cl.Controller(store, state_path=state) as holder,
        cl.Controller(store, state_path=state, lock_timeout=0.1) as controller,
    ):
        backend = controller.backend(
            "here", volume_driver="file", file_root=str(tmp_path / "array")
        )
        volume = backend.create_volume(1)
        snapshot = volume.create_snapshot()
        with held(holder, f"volume:{volume.id}"):
            for ask in (
                volume.delete,
                volume.create_snapshot,
                snapshot.delete,
                volume.attach,
                lambda: volume.extend(2),
            ):
                with pytest.raises(cl.errors.Busy) as caught:
                    ask()
                assert (caught.value.code, caught.value.retryable) == ("ABORTED", True)
        assert volume.extend(2)


@pytest.mark.parametrize("status", ["error", "maintenance"])
def test_volumes_in_an_unusable_state_are_refused(
    library: cl.Controller, backend: cl.Backend, status: str
) -> None:
    volume = backend.create_volume(1)
    record = library.store.get(VolumeRecord, volume.id)
    assert record is not None
    library.store.apply(Put(replace(record, status=status)))
    for ask in (
        volume.clone,
        volume.create_snapshot,
        volume.attach,
        lambda: volume.extend(2),
        lambda: volume.connect(connector("alpha")),
    ):
        with pytest.raises(cl.errors.InvalidVolume, match=status) as caught:
            ask()
        assert caught.value.code == "FAILED_PRECONDITION"
    volume.delete()
