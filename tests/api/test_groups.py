"""Groups of volumes and group snapshots, as programs and drivers see them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from api.conftest import LoadBackend, connector, files

import cinderlib as cl
from cinderlib import errors
from cinderlib.persistence import in_key_values
from cinderlib.records import GroupRecord, GroupSnapshotRecord, KeyValueRecord, replace


def test_reconcile_reports_failed_groups(backend: cl.Backend, library: cl.Controller) -> None:
    group = backend.create_group("pair", _pair(backend))
    copy = group.create_snapshot("before")
    assert backend.reconcile() == []
    for kind, id, status in (
        (GroupRecord, group.id, "error_updating"),
        (GroupSnapshotRecord, copy.id, "error_deleting"),
    ):
        record = in_key_values.find(library.store, kind, id)
        assert record is not None
        library.store.apply(in_key_values.put(replace(record, status=status)))
    found = backend.reconcile(repair=True)
    assert [(each.problem, each.kind, each.resource_id, each.outcome) for each in found] == [
        ("failed", "group_snapshot", copy.id, "found"),
        ("failed", "group", group.id, "found"),
    ]
    assert [each.detail for each in found] == [
        "it is 'error_deleting': delete it again",
        "it is 'error_updating': repeat the last change",
    ]
    copy.delete()
    group.remove(group.volumes[0])
    assert backend.reconcile() == []


def _pair(backend: cl.Backend) -> list[cl.Volume]:
    return [backend.create_volume(1, name=name) for name in ("one", "two")]


def test_a_group_is_created_once_changed_and_deleted(backend: cl.Backend, root: Path) -> None:
    controller = backend.controller
    one, two = _pair(backend)
    group = backend.create_group("pair", [one], "description")
    assert (group.name, group.description, group.status) == ("pair", "description", "available")
    assert (group.changed, group.native, group.volumes) == (True, True, [one])
    again = backend.create_group("pair", [one], "description", id=group.id)
    assert (again, again.changed) == (group, False)
    with pytest.raises(errors.AlreadyExists, match="name is 'pair', requested 'other'"):
        backend.create_group("other", id=group.id)
    group.add(two, one)
    assert (group.changed, group.volumes) == (True, [one, two])
    one.refresh()
    assert one.group_id == group.id
    group.remove(one)
    group.remove(one)
    assert (group.changed, group.volume_ids) == (False, (two.id,))
    assert controller.group(group.id).volume_ids == (two.id,)
    assert list(controller.groups(name="pair")) == [group]
    assert list(controller.groups(name="none")) == list(controller.groups(backend="other")) == []
    group.delete()
    assert (group.changed, group.status) == (True, "deleted")
    two.refresh()
    assert (one.id in {v.id for v in backend.volumes}, two.group_id) == (True, None)
    group.delete()
    assert group.changed is False
    with pytest.raises(errors.GroupNotFound, match="does not exist"):
        controller.group(group.id)
    with pytest.raises(errors.GroupNotFound):
        group.add(two)


def test_a_group_is_deleted_with_its_volumes(backend: cl.Backend, root: Path) -> None:
    one, two = _pair(backend)
    group = backend.create_group("pair", [one, two])
    snapshot = one.create_snapshot()
    with pytest.raises(errors.InvalidVolume, match="it has 1 snapshot"):
        group.delete(volumes=True)
    snapshot.delete()
    assert {v.status for v in backend.volumes} == {"available"}
    group.delete(volumes=True)
    assert (backend.volumes, files(root)) == ([], [])


def test_volumes_that_cannot_be_in_a_group(
    backend: cl.Backend, array: cl.Backend, load_backend: LoadBackend
) -> None:
    one, two = _pair(backend)
    elsewhere = array.create_volume(1)
    group = backend.create_group("first", [one])
    with pytest.raises(errors.InvalidVolume, match="is on backend 'array'"):
        group.add(two, elsewhere)
    with pytest.raises(errors.InvalidVolume, match="is in group first"):
        backend.create_group("second", [two, one])
    with pytest.raises(errors.InvalidInput, match="at least one volume"):
        group.add()
    with pytest.raises(errors.InvalidInput):
        group.add("one")  # type: ignore[arg-type]
    group.refresh()
    assert group.volumes == [one]
    assert list(backend.controller.groups()) == [group]


def test_members_are_not_deleted_moved_or_unmanaged(backend: cl.Backend) -> None:
    one, two = _pair(backend)
    group = backend.create_group("pair", [one, two])
    taken = group.create_snapshot("monday")
    one.refresh()
    with pytest.raises(errors.InvalidVolume, match="it is in group pair"):
        one.delete()
    with pytest.raises(errors.InvalidVolume, match="it is in group pair"):
        one.delete(snapshots=True)
    with pytest.raises(errors.InvalidVolume, match="it is in group pair"):
        one.unmanage()
    snapshot = taken.snapshots[0]
    for refused in (snapshot.delete, snapshot.unmanage):
        with pytest.raises(errors.InvalidSnapshot, match="group snapshot monday"):
            refused()
    with pytest.raises(errors.InvalidGroup, match="has 1 group snapshot"):
        group.delete()
    assert [len(v.snapshots) for v in (one, two)] == [1, 1]


def test_a_group_snapshot_is_taken_once_and_deleted(backend: cl.Backend, root: Path) -> None:
    controller = backend.controller
    one, two = _pair(backend)
    group = backend.create_group("pair", [one, two])
    taken = group.create_snapshot("monday", "before the upgrade")
    assert (taken.name, taken.description) == ("monday", "before the upgrade")
    assert (taken.status, taken.consistent, taken.changed) == ("available", True, True)
    assert [s.volume_id for s in taken.snapshots] == [one.id, two.id]
    assert {(s.status, s.name, s.group_snapshot_id) for s in taken.snapshots} == {
        ("available", "monday", taken.id)
    }
    again = group.create_snapshot("monday", id=taken.id)
    assert (again, again.changed) == (taken, False)
    with pytest.raises(errors.AlreadyExists):
        group.create_snapshot("tuesday", id=taken.id)
    assert controller.group(group.id).snapshots == [taken]
    assert list(controller.group_snapshots(name="monday")) == [taken]
    copy = taken.snapshots[1].create_volume(name="copy")
    assert copy.size == 1
    taken.delete()
    taken.delete()
    assert (taken.changed, taken.status) == (False, "deleted")
    assert not [name for name in files(root) if name.startswith("snapshot")]
    assert controller.group(group.id).snapshots == []
    with pytest.raises(errors.GroupSnapshotNotFound):
        controller.group_snapshot(taken.id)


def test_a_group_without_volumes_has_no_snapshot(backend: cl.Backend) -> None:
    group = backend.create_group("empty")
    with pytest.raises(errors.InvalidGroup, match="it has no volumes"):
        group.create_snapshot()
    assert list(backend.controller.group_snapshots()) == []


UNGROUPED = "api.ungrouped_driver.Ungrouped"


@pytest.mark.library("it changes the driver")
def test_one_after_another_only_if_the_caller_accepts_it(
    load_backend: LoadBackend, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_backend("plain", volume_driver=UNGROUPED, file_root=str(root))
    one, two = _pair(backend)
    group = backend.create_group("pair", [one, two])
    assert group.native is False
    with pytest.raises(errors.Unsupported, match=r"at the same moment.*--one-after-another"):
        group.create_snapshot("monday")
    assert list(backend.controller.snapshots()) == []
    taken = group.create_snapshot("monday", one_after_another=True)
    assert (taken.consistent, len(taken.snapshots)) == (False, 2)
    taken.delete()

    from api.ungrouped_driver import Ungrouped

    monkeypatch.setattr(Ungrouped, "fails_at", two.id)
    with pytest.raises(errors.DriverError, match="out of order"):
        group.create_snapshot("tuesday", one_after_another=True)
    assert list(backend.controller.group_snapshots()) == []
    assert list(backend.controller.snapshots()) == []
    assert not [name for name in files(root) if name.startswith("snapshot")]


@pytest.mark.library("the driver runs in the service's process")
def test_the_snapshots_of_a_group_are_of_one_moment(backend: cl.Backend, root: Path) -> None:
    """A program writes the same number to both volumes, one after the other; the second is never
    ahead of the first in a snapshot."""
    one, two = _pair(backend)
    group = backend.create_group("pair", [one, two])
    paths = [root / volume.name_in_storage for volume in (one, two)]
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for path in paths:
                with path.open("r+b") as file:
                    file.write(b"%8d" % number)
            stop.wait(0.15)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        taken = [group.create_snapshot() for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    for each in taken:
        values = []
        for snapshot in each.snapshots:
            with (root / snapshot.name_in_storage).open("rb") as file:
                values.append(int(file.read(8)))
        assert values[0] - values[1] in (0, 1)


@pytest.mark.library("it looks into the store")
def test_groups_are_key_values_of_every_store(backend: cl.Backend) -> None:
    group = backend.create_group("pair", _pair(backend))
    store = backend.controller.store
    assert [r.id for r in store.iterate(KeyValueRecord)] == [f"cinderlib/group/{group.id}"]


def test_a_volume_in_use_can_be_in_a_group(array: cl.Backend) -> None:
    one, two = _pair(array)
    one.connect(connector("first"), attached_host="first")
    group = array.create_group("pair", [one, two])
    assert group.create_snapshot().consistent is True
    with pytest.raises(errors.InvalidGroup):
        group.delete(volumes=True)


def test_the_history_and_the_capabilities_have_groups(backend: cl.Backend) -> None:
    group = backend.create_group("pair", _pair(backend))
    group.create_snapshot("monday").delete()
    group.delete()
    done = [o.operation for o in backend.controller.history() if "group" in o.operation]
    assert done == [
        "group.create",
        "group_snapshot.create",
        "group_snapshot.delete",
        "group.delete",
    ]
    known = backend.capabilities()
    assert known["group.create"].way == known["group_snapshot.create"].way == "native"
