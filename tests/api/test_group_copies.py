"""Groups from group snapshots, and clones of groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api.conftest import LoadBackend, files

import cinderlib as cl
from cinderlib import errors
from cinderlib.records import IntentRecord

UNGROUPED = "api.ungrouped_driver.Ungrouped"


@pytest.fixture
def group(backend: cl.Backend) -> cl.Group:
    volumes = [
        backend.create_volume(1, name="data", metadata={"kind": "data"}),
        backend.create_volume(2, name="log", description="writes", extra_specs={"a": "b"}),
    ]
    return backend.create_group("database", volumes, "production")


def _write(root: Path, volume: cl.Volume, text: bytes) -> None:
    with (root / volume.name_in_storage).open("r+b") as file:
        file.write(text)


def _read(root: Path, volume: cl.Volume) -> bytes:
    with (root / volume.name_in_storage).open("rb") as file:
        return file.read(3)


def test_a_group_is_created_once_from_a_group_snapshot(group: cl.Group, root: Path) -> None:
    data, log = group.volumes
    _write(root, data, b"old")
    taken = group.create_snapshot("monday")
    _write(root, data, b"new")
    log.extend(3)
    copy = taken.create_group("test", "a copy")
    assert (copy.name, copy.description, copy.status) == ("test", "a copy", "available")
    assert (copy.changed, copy.native, copy.backend_name) == (True, True, group.backend_name)
    assert (copy.group_snapshot_id, copy.source_group_id) == (taken.id, None)
    one, two = copy.volumes
    assert _read(root, one) == b"old"
    assert (one.name, one.size, one.metadata) == ("test-data", 1, {"kind": "data"})
    assert (two.name, two.size, two.description) == ("test-log", 2, "writes")
    assert two.extra_specs == {"a": "b"}
    assert {(each.group_id, each.status) for each in (one, two)} == {(copy.id, "available")}
    assert [each.snapshot_id for each in (one, two)] == list(taken.snapshot_ids)
    again = taken.create_group("test", id=copy.id)
    assert (again, again.changed, again.volumes) == (copy, False, [one, two])
    with pytest.raises(errors.AlreadyExists, match="name is 'test', requested 'other'"):
        taken.create_group("other", id=copy.id)
    with pytest.raises(errors.AlreadyExists):
        taken.create_group("database", id=group.id)
    taken.delete()
    copy.delete(volumes=True)
    assert [each.id for each in group.backend.volumes] == [data.id, log.id]  # type: ignore[union-attr]


def test_a_group_is_cloned(group: cl.Group, root: Path) -> None:
    data, _ = group.volumes
    _write(root, data, b"old")
    clone = group.clone("test")
    _write(root, data, b"new")
    assert (clone.changed, clone.native, clone.description) == (True, True, "")
    assert (clone.source_group_id, clone.group_snapshot_id) == (group.id, None)
    assert [each.name for each in clone.volumes] == ["test-data", "test-log"]
    assert [each.source_volid for each in clone.volumes] == list(group.volume_ids)
    assert _read(root, clone.volumes[0]) == b"old"
    assert group.clone("test", id=clone.id).changed is False
    # Each group can be used without the other one.
    group.delete(volumes=True)
    assert clone.create_snapshot("monday").consistent is True


@pytest.mark.library("it changes the driver")
def test_the_generic_ways(
    load_backend: LoadBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_backend("plain", volume_driver=UNGROUPED, file_root=str(root))
    known = backend.capabilities()
    assert known["group.create_from_snapshot"].way == known["group.clone"].way == "generic"
    volumes = [backend.create_volume(1, name=name) for name in ("one", "two")]
    group = backend.create_group("pair", volumes)
    taken = group.create_snapshot("monday", one_after_another=True)
    copy = taken.create_group("copy")
    assert (copy.native, len(copy.volumes)) == (False, 2)
    before = files(root)
    with pytest.raises(errors.Unsupported, match=r"at the same moment.*--one-after-another"):
        group.clone("clone")
    assert files(root) == before
    clone = group.clone("clone", one_after_another=True)
    assert [each.name for each in clone.volumes] == ["clone-one", "clone-two"]
    clone.delete(volumes=True)

    from api.ungrouped_driver import Ungrouped

    monkeypatch.setattr(Ungrouped, "fails_to_copy", "third-two")
    for call in (taken.create_group, lambda name: group.clone(name, one_after_another=True)):
        with pytest.raises(errors.DriverError, match="out of order"):
            call("third")
        assert list(backend.controller.groups(name="third")) == []
    assert {each.name for each in backend.volumes} == {"one", "two", "copy-one", "copy-two"}
    assert files(root) == before


@pytest.mark.library("it changes the driver")
def test_a_failure_of_the_driver_leaves_nothing(
    group: cl.Group, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinderlib.drivers.file.driver import FileDriver

    controller, before = group._controller, files(root)
    create = FileDriver.create_volume_from_snapshot
    taken = group.create_snapshot("monday")
    before = files(root)

    def fail(self: Any, volume: Any, snapshot: Any) -> None:
        if volume.display_name == "test-log":
            raise OSError("out of order")
        create(self, volume, snapshot)

    monkeypatch.setattr(FileDriver, "create_volume_from_snapshot", fail)
    with pytest.raises(errors.DriverError):
        taken.create_group("test")
    assert (files(root), list(controller.groups())) == (before, [group])
    assert controller.store.find(IntentRecord) == []
    last = list(controller.history())[-1]
    assert (last.operation, last.outcome) == ("group.create_from_snapshot", "failed")


def test_sources_that_cannot_be_copied(backend: cl.Backend, group: cl.Group) -> None:
    empty = backend.create_group("empty")
    with pytest.raises(errors.InvalidGroup, match="No group can be created from group empty"):
        empty.clone("new")
    with pytest.raises(errors.InvalidInput):
        group.clone("n" * 256)
    with pytest.raises(errors.InvalidInput):
        group.clone("new", one_after_another="yes")  # type: ignore[arg-type]
    taken = group.create_snapshot("monday")
    taken.delete()
    with pytest.raises(errors.GroupSnapshotNotFound):
        taken.create_group("new")
    empty.delete()
    with pytest.raises(errors.GroupNotFound):
        empty.clone("new")
    assert {each.name for each in backend.volumes} == {"data", "log"}


@pytest.mark.library("it changes the driver")
def test_the_volumes_of_a_clone_are_of_one_moment(
    group: cl.Group, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program writes to both volumes after the first one was copied."""
    from cinderlib.drivers.file.driver import FileDriver

    copy = FileDriver._clone
    calls: list[str] = []

    def clone(self: Any, name: str, *args: Any, **options: Any) -> None:
        copy(self, name, *args, **options)
        calls.append(name)
        if len(calls) == 1:
            for volume in group.volumes:
                _write(root, volume, b"new")

    monkeypatch.setattr(FileDriver, "_clone", clone)
    made = group.clone("test").volumes
    assert [_read(root, each) for each in made] == [b"new", b"new"]
    assert len(calls) == 4


def test_the_copies_of_encrypted_volumes_have_their_keys(
    load_backend: LoadBackend, root: Path
) -> None:
    backend = load_backend("plain", volume_driver="file", file_root=str(root))
    if not backend.controller.store.encrypts:
        with pytest.raises(errors.InvalidPersistence):
            backend.create_volume(1, encryption={"provider": "luks2"})
        return
    volume = backend.create_volume(1, name="data", encryption={"provider": "luks2"})
    (copy,) = backend.create_group("pair", [volume]).clone("test").volumes
    assert copy.record.encryption_key == volume.record.encryption_key
