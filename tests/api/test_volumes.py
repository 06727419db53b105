"""Operations on volumes, and requests that are refused before they change storage."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest
from api.conftest import connector, files

import cinderlib as cl

GIB = 1024**3


def test_a_new_volume_is_available_and_in_the_store(backend: cl.Backend, root: Path) -> None:
    before = datetime.datetime.now(datetime.UTC)
    volume = backend.create_volume(
        1, name="data", description="for tests", metadata={"owner": "me"}, bootable=True
    )
    assert volume.changed
    found = backend.Volume.get_by_id(volume.id)
    assert found == volume
    assert found is not volume
    assert (found.name, found.description, found.size) == ("data", "for tests", 1)
    assert (found.status, found.attach_status, found.bootable) == ("available", "detached", True)
    assert found.metadata == {"owner": "me"}
    assert found.created_at >= before
    assert found.host.partition("@")[2] == "here#here"
    assert found.backend is backend
    assert files(root) == [found.name_in_storage] == [f"volume-{volume.id}"]
    assert backend.volumes == [volume]
    assert backend.Volume.get_by_name("data") == [volume]
    assert backend.volumes_filtered(volume_name="data") == [volume]
    assert backend.volumes_filtered(volume_id=volume.id) == [volume]
    assert backend.volumes_filtered(volume_id=volume.id, volume_name="other") == []


@pytest.mark.parametrize(("given", "size"), [(1, 1), (1.5, 2), ("2", 2), (0.1, 1), (2.0, 2)])
def test_sizes_are_rounded_up_to_whole_gib(backend: cl.Backend, given: Any, size: int) -> None:
    assert backend.create_volume(given).size == size


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 0},
        {"size": -1},
        {"size": "a"},
        {"size": None},
        {"size": True},
        {"size": math.nan},
        {"size": math.inf},
        {"size": 10**12},
        {"size": 1, "name": "x" * 10_000},
        {"size": 1, "name": "\udcff"},
        {"size": 1, "name": 7},
        {"size": 1, "id": "../../victim"},
        {"size": 1, "id": "/etc/passwd"},
        {"size": 1, "id": ""},
        {"size": 1, "id": "not a uuid"},
        {"size": 1, "pool_name": "nowhere"},
        {"size": 1, "host": "elsewhere@other#pool"},
        {"size": 1, "metadata": "owner"},
        {"size": 1, "metadata": {1: 2}},
        {"size": 1, "extra_specs": ["fast"]},
        {"size": 1, "nmae": "x"},
        {"size": 1, "status": "available"},
    ],
    ids=str,
)
def test_invalid_volumes_are_refused(
    backend: cl.Backend, root: Path, fields: dict[str, Any]
) -> None:
    with pytest.raises(cl.errors.InvalidInput):
        backend.create_volume(**fields)
    assert files(root) == []
    assert backend.volumes == []


def test_a_misspelt_field_is_reported_with_a_suggestion(backend: cl.Backend) -> None:
    with pytest.raises(cl.errors.InvalidInput, match="did you mean 'multiattach'"):
        backend.create_volume(1, multi_attach=True)


def test_other_ids_if_the_controller_allows_them(tmp_path: Path) -> None:
    with cl.Controller(state_path=tmp_path / "state", non_uuid_ids=True) as controller:
        backend = controller.backend("b", volume_driver="file", file_root=str(tmp_path / "array"))
        assert backend.create_volume(1, id="disk-7").id == "disk-7"
        with pytest.raises(cl.errors.InvalidInput):
            backend.create_volume(1, id="../disk-8")


def test_creation_is_idempotent_by_id(backend: cl.Backend, root: Path) -> None:
    first = backend.create_volume(1, name="data")
    again = backend.create_volume(1, name="data", id=first.id)
    assert (again, again.changed) == (first, False)
    with pytest.raises(cl.errors.AlreadyExists) as caught:
        backend.create_volume(2, name="data", id=first.id)
    assert caught.value.differences == {"size": (1, 2)}
    assert files(root) == [first.name_in_storage]


def test_deletion_is_idempotent(backend: cl.Backend, root: Path) -> None:
    volume = backend.create_volume(1)
    volume.delete()
    assert (volume.changed, volume.status, files(root)) == (True, "deleted", [])
    assert volume.deleted
    volume.delete()
    assert volume.changed is False
    with pytest.raises(cl.errors.VolumeNotFound):
        backend.Volume.get_by_id(volume.id)
    with pytest.raises(cl.errors.VolumeNotFound):
        volume.refresh()
    with pytest.raises(cl.errors.VolumeNotFound):
        volume.create_snapshot()


@pytest.mark.parametrize("id", [None, "", 7, "%", "no-such-id"])
def test_unknown_ids_are_not_found(backend: cl.Backend, id: Any) -> None:
    backend.create_volume(1)
    with pytest.raises(cl.errors.VolumeNotFound):
        backend.Volume.get_by_id(id)


def test_extending(backend: cl.Backend) -> None:
    volume = backend.create_volume(1)
    assert volume.extend(3) == 3 * GIB
    assert (volume.size, volume.status, volume.changed) == (3, "available", True)
    assert volume.extend(3) == 3 * GIB
    assert volume.changed is False
    for size in (2, 0, -1, "a", None, True):
        with pytest.raises(cl.errors.InvalidInput):
            volume.extend(size)
    volume.refresh()
    assert (volume.size, volume.status) == (3, "available")


def test_a_stale_object_cannot_shrink_an_extended_volume(backend: cl.Backend) -> None:
    volume = backend.create_volume(1)
    stale = backend.Volume.get_by_id(volume.id)
    volume.extend(5)
    with pytest.raises(cl.errors.InvalidInput):
        stale.extend(3)
    assert backend.Volume.get_by_id(volume.id).size == 5


def test_snapshots_and_volumes_from_snapshots(backend: cl.Backend) -> None:
    volume = backend.create_volume(2, name="data", extra_specs={"speed": "high"})
    snapshot = volume.create_snapshot("before", "the upgrade", metadata={"a": "b"})
    assert (snapshot.status, snapshot.volume_size, snapshot.volume_id) == (
        "available",
        2,
        volume.id,
    )
    assert (snapshot.name, snapshot.description, snapshot.metadata) == (
        "before",
        "the upgrade",
        {"a": "b"},
    )
    assert snapshot.volume == volume
    assert volume.snapshots == [snapshot]
    assert backend.Snapshot.get_by_id(snapshot.id) == snapshot
    assert backend.Snapshot.get_by_name("before") == [snapshot]
    restored = snapshot.create_volume(name="restored")
    assert (restored.size, restored.snapshot_id, restored.source_volid) == (2, snapshot.id, None)
    assert restored.extra_specs == {"speed": "high"}
    larger = snapshot.create_volume(size=3)
    assert larger.size == 3
    clone = volume.clone(name="copy", size=4)
    assert (clone.size, clone.source_volid, clone.snapshot_id) == (4, volume.id, None)
    assert clone.volume_type is not None
    assert clone.volume_type.id == clone.id
    for smaller in (lambda: volume.clone(size=1), lambda: snapshot.create_volume(size=1)):
        with pytest.raises(cl.errors.InvalidInput, match="cannot hold"):
            smaller()
    with pytest.raises(cl.errors.InvalidVolume, match="1 snapshot"):
        volume.delete()
    snapshot.delete()
    snapshot.delete()
    assert snapshot.changed is False
    volume.delete()
    with pytest.raises(cl.errors.VolumeNotFound):
        snapshot.create_volume()


def test_saving_writes_only_changed_fields(backend: cl.Backend) -> None:
    one = backend.create_volume(1, metadata={"kept": "1", "removed": "1"})
    other = backend.Volume.get_by_id(one.id)
    one.name = "mine"
    one.metadata["a"] = "1"
    del one.metadata["removed"]
    other.description = "theirs"
    other.metadata["b"] = "2"
    other.save()
    one.save()
    one.save()
    found = backend.Volume.get_by_id(one.id)
    assert (found.name, found.description) == ("mine", "theirs")
    assert found.metadata == {"kept": "1", "a": "1", "b": "2"}
    with pytest.raises(AttributeError):
        one.size = 5
    with pytest.raises(cl.errors.InvalidInput):
        one.name = "x" * 1000
    one.delete()
    other.name = "late"
    with pytest.raises(cl.errors.VolumeNotFound):
        other.save()


def test_listings_include_volumes_of_backends_that_are_not_loaded(tmp_path: Path) -> None:
    config = {"storage": "db", "connection": f"sqlite:///{tmp_path}/metadata.sqlite"}
    state = tmp_path / "state"
    with cl.Controller(config, state_path=state) as controller:
        for name in ("z_1", "zx1"):
            root = str(tmp_path / name)
            backend = controller.backend(name, volume_driver="file", file_root=root)
            backend.create_volume(1, name=name)
    with cl.Controller(config, state_path=state) as controller:
        backend = controller.backend("z_1", volume_driver="file", file_root=str(tmp_path / "z_1"))
        assert [v.name for v in backend.volumes] == ["z_1"]
        everything = list(controller.volumes())
        assert [v.name for v in everything] == ["z_1", "zx1"]
        with pytest.raises(cl.errors.BackendNotFound, match="zx1"):
            _ = everything[1].backend
    with cl.Controller(config, state_path=state, fail_on_missing_backend=False) as controller:
        assert next(controller.volumes()).backend == "z_1"


def test_pools_and_specs_reach_the_array(array: cl.Backend) -> None:
    assert array.pool_names == ("fast", "slow")
    assert array.create_volume(1).host.endswith("@array#fast")
    assert array.create_volume(1, pool_name="slow").host.endswith("@array#slow")
    volume = array.create_volume(1, extra_specs={"a": 1}, qos_specs={"maxIOPS": "100"})
    assert volume.extra_specs == {"a": "1"}
    assert volume.volume_type is not None
    assert volume.volume_type.qos_specs is not None
    assert volume.volume_type.qos_specs.specs == {"maxIOPS": "100"}


def test_a_volume_in_use_is_not_deleted(array: cl.Backend, root: Path) -> None:
    volume = array.create_volume(1)
    stale = array.Volume.get_by_id(volume.id)
    volume.connect(connector("alpha"))
    with pytest.raises(cl.errors.InvalidVolume, match="alpha") as caught:
        stale.delete()
    assert caught.value.resource is stale
    assert caught.value.code == "FAILED_PRECONDITION"
    assert volume.name_in_storage in files(root)


def test_a_page_continues_after_the_previous_page(
    controller: cl.Controller, backend: cl.Backend
) -> None:
    made = [backend.create_volume(1, name=str(number)) for number in range(5)]
    first = list(controller.volumes(limit=2))
    assert first == made[:2]
    first[-1].delete()
    assert list(controller.volumes(after=first[-1], limit=2)) == made[2:4]
    assert list(controller.volumes(after=made[3], limit=2)) == made[4:]
    assert list(controller.volumes(limit=0)) == []


def test_two_programs_change_the_metadata_of_a_snapshot(backend: cl.Backend) -> None:
    one = backend.create_volume(1).create_snapshot(metadata={"kept": "1", "removed": "1"})
    other = backend.Snapshot.get_by_id(one.id)
    other.metadata["theirs"] = "2"
    other.save()
    one.metadata["mine"] = "3"
    del one.metadata["removed"]
    one.save()
    found = backend.Snapshot.get_by_id(one.id)
    assert found.metadata == {"kept": "1", "theirs": "2", "mine": "3"}


@pytest.mark.library(reason="writes a record")
def test_the_object_interface_of_a_store_saves_objects(
    controller: cl.Controller, backend: cl.Backend
) -> None:
    volume = backend.create_volume(1)
    volume.name = "set"
    controller.persistence.set_volume(volume)
    assert [v.name for v in controller.persistence.get_volumes(volume_id=volume.id)] == ["set"]
    volume.save()
    assert backend.Volume.get_by_id(volume.id).name == "set"


def test_a_volume_whose_revert_failed_is_not_created_again(
    backend: cl.Backend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = backend.create_volume(1)
    (root / volume.name_in_storage).write_bytes(b"kept")
    snapshot = volume.create_snapshot()
    with monkeypatch.context() as broken:
        broken.setattr("cinderlib.drivers.file.sparse.clone", _fail)
        with pytest.raises(cl.errors.DriverError):
            volume.revert_to_snapshot(snapshot)
    assert backend.Volume.get_by_id(volume.id).status == "error"
    with pytest.raises(cl.errors.InvalidVolume, match="Its data is not overwritten"):
        backend.create_volume(1, id=volume.id)
    assert (root / volume.name_in_storage).read_bytes() == b"kept"
    volume.revert_to_snapshot(snapshot)
    assert volume.status == "available"


def _fail(*args: object, **options: object) -> None:
    raise OSError(5, "the disk is broken")
