"""Migrations: refusals, and the place of the volume after a step fails."""

from __future__ import annotations

import os

import pytest
from api import file_backends
from api.file_backends import read, write

from cinderlib import errors
from cinderlib.records import IntentRecord


@pytest.fixture
def controller(tmp_path):
    with file_backends.controller(tmp_path, "first", "second") as made:
        yield made


@pytest.fixture
def volume(controller):
    made = controller.backends["first"].create_volume(
        1, name="data", metadata={"a": "1"}, extra_specs={"b": "2"}, bootable=True
    )
    write(made, b"first")
    return made


def files(controller, name):
    return os.listdir(controller.backends[name].config["file_root"])


@pytest.mark.parametrize("by_copy", [False, True])
def test_a_migrated_volume_keeps_everything_but_its_place(controller, volume, by_copy):
    id, name, created = volume.id, volume.name_in_storage, volume.created_at
    volume.migrate("second", by_copy=by_copy)
    same = controller.volume(id)
    assert (same.name, same.metadata, same.extra_specs) == ("data", {"a": "1"}, {"b": "2"})
    assert (same.bootable, same.created_at, same.volume_type_id) == (True, created, id)
    assert (same.name_in_storage, same.host.partition("@")[2]) == (name, "second#second")
    assert (same.migration_status, read(same)) == (None, b"first")
    assert (files(controller, "first"), files(controller, "second")) == ([], [name])
    assert [each.id for each in controller.volumes()] == [id]
    operations = [each.operation for each in controller.history("data")]
    assert operations[:3] == ["volume.create", "volume.attach", "volume.detach"]


def test_the_copy_is_sparse(controller, volume, tmp_path):
    volume.migrate("second", by_copy=True)
    assert os.stat(tmp_path / "second" / volume.name_in_storage).st_blocks * 512 < 8 << 20


def test_progress_is_reported(controller, volume, monkeypatch):
    seen = []
    monkeypatch.setattr(controller.journal, "tell", seen.append)
    volume.migrate("second", by_copy=True)
    assert {each.resource_id for each in seen} == {volume.id}
    assert (seen[-1].done, seen[-1].total) == (1 << 30, 1 << 30)


def test_a_failed_copy_leaves_the_volume_where_it_was(controller, volume, monkeypatch):
    def fail(source, target, report):
        raise errors.NodeError("the device failed")

    monkeypatch.setattr(controller.local_host, "copy", fail)
    with pytest.raises(errors.NodeError, match="the device failed"):
        volume.migrate("second", by_copy=True)
    monkeypatch.undo()
    volume.refresh()
    assert (volume.status, volume.migration_status, read(volume)) == ("available", None, b"first")
    assert (len(files(controller, "first")), files(controller, "second")) == (1, [])
    assert [each.id for each in controller.volumes()] == [volume.id]
    assert controller.store.find(IntentRecord) == []
    volume.migrate("second", by_copy=True)
    assert read(volume) == b"first"


def test_others_are_refused_while_the_data_is_copied(controller, volume, monkeypatch):
    host, copy = controller.local_host, controller.local_host.copy
    refused = []

    def meanwhile(source, target, report):
        other = {"host": "other"}
        (target_volume,) = [v for v in controller.volumes() if v.id != volume.id]
        assert target_volume.migration_status == f"target:{volume.id}"
        same = controller.volume(volume.id)
        for each in (same, target_volume):
            calls = (
                each.delete,
                each.create_snapshot,
                each.clone,
                lambda each=each: each.connect(other),
                lambda each=each: each.extend(2),
                lambda each=each: each.migrate("first" if each is target_volume else "second"),
            )
            for call in calls:
                with pytest.raises(errors.CinderlibError):
                    call()
                refused.append(call)
        assert [each.outcome for each in controller.recover()] == ["skipped"]
        copy(source, target, report)

    monkeypatch.setattr(host, "copy", meanwhile)
    volume.migrate("second", by_copy=True)
    assert len(refused) == 12
    assert read(volume) == b"first"


def test_old_data_that_cannot_be_deleted_is_deleted_later(controller, volume, monkeypatch):
    first = controller.backends["first"]._driver

    def fail(record):
        raise errors.DriverError("busy")

    with monkeypatch.context() as patch:
        patch.setattr(first, "delete_volume", fail)
        volume.migrate("second", by_copy=True)
        assert (read(volume), len(files(controller, "first"))) == (b"first", 1)
    assert [each.outcome for each in controller.recover()] == ["finished"]
    assert files(controller, "first") == []
    assert [each.id for each in controller.volumes()] == [volume.id]
    assert read(volume) == b"first"


@pytest.mark.parametrize("found", [True, None])
def test_a_copy_that_the_driver_cannot_rename_is_removed(controller, volume, monkeypatch, found):
    """``None``: the driver does not report whether a volume exists."""
    second = controller.backends["second"]._driver

    def fail(record, copy, status):
        raise errors.DriverError("busy")

    with monkeypatch.context() as patch:
        patch.setattr(second, "update_migrated_volume", fail)
        patch.setattr(second, "exists", lambda record: found)
        with pytest.raises(errors.DriverError, match="busy"):
            volume.migrate("second", by_copy=True)
    volume.refresh()
    assert (volume.backend.id, volume.status, read(volume)) == ("first", "available", b"first")
    assert files(controller, "second") == []


def test_a_copy_that_was_renamed_before_the_driver_failed_is_used(controller, volume, monkeypatch):
    second = controller.backends["second"]._driver
    rename = second.update_migrated_volume

    def fail(record, copy, status):
        rename(record, copy, status)
        raise errors.DriverError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(second, "update_migrated_volume", fail)
        volume.migrate("second", by_copy=True)
    assert (volume.backend.id, read(volume)) == ("second", b"first")
    assert files(controller, "second") == [volume.name_in_storage]


def failing_after(monkeypatch, driver, method, error=None):
    """Let a method of a driver fail after its work."""
    work = getattr(driver, method)

    def fail(*given):
        work(*given)
        raise error or errors.DriverError("no answer")

    monkeypatch.setattr(driver, method, fail)


def test_a_volume_that_was_moved_before_the_driver_failed_is_migrated(
    controller, volume, monkeypatch, caplog
):
    first = controller.backends["first"]._driver
    failing_after(monkeypatch, first, "migrate_volume")
    volume.migrate("second")
    assert (volume.changed, volume.backend.id, read(volume)) == (True, "second", b"first")
    assert "the driver failed: no answer" in caplog.text
    assert (volume.status, volume.migration_status) == ("available", None)
    assert (files(controller, "first"), files(controller, "second")) == (
        [],
        [volume.name_in_storage],
    )


def test_an_incomplete_copy_of_a_driver_that_failed_is_deleted(controller, volume, monkeypatch):
    first = controller.backends["first"]._driver

    def fail(record, host, capabilities):
        root = controller.backends["second"].config["file_root"]
        with open(f"{root}/{volume.name_in_storage}", "wb") as partial:
            partial.truncate(1 << 30)
        raise errors.DriverError("the link is down")

    with monkeypatch.context() as patch:
        patch.setattr(first, "migrate_volume", fail)
        with pytest.raises(errors.DriverError, match="the link is down"):
            volume.migrate("second")
    volume.refresh()
    assert (volume.backend.id, volume.migration_status, read(volume)) == (
        "first",
        "error",
        b"first",
    )
    assert files(controller, "second") == []
    volume.migrate("second")
    assert (volume.backend.id, volume.migration_status, read(volume)) == ("second", None, b"first")


@pytest.mark.parametrize("timed_out", [True, False])
def test_a_volume_of_unknown_place_is_found_later(controller, volume, monkeypatch, timed_out):
    first = controller.backends["first"]._driver
    error = (errors.DriverTimeout if timed_out else errors.DriverError)("no answer")

    def unreachable(record):
        raise errors.DriverError("unreachable")

    with monkeypatch.context() as patch:
        failing_after(patch, first, "migrate_volume", error)
        patch.setattr(first, "exists", unreachable)
        with pytest.raises(errors.DriverError, match="no answer"):
            volume.migrate("second")
    volume.refresh()
    assert (volume.backend.id, volume.status) == ("first", "maintenance")
    volume.migrate("second")
    assert (volume.backend.id, volume.status, read(volume)) == ("second", "available", b"first")
    assert files(controller, "first") == []


def test_an_unknown_place_is_reported(controller, volume, monkeypatch):
    first = controller.backends["first"]._driver
    failing_after(monkeypatch, first, "migrate_volume")
    monkeypatch.setattr(first, "exists", lambda record: None)
    with pytest.raises(errors.DriverError, match="no answer") as raised:
        volume.migrate("second")
    assert "manage the volume at its new place" in raised.value.__notes__[0]
    volume.refresh()
    assert (volume.backend.id, volume.status) == ("first", "available")
    assert volume.migration_status == "error"


def test_old_data_that_was_deleted_before_the_driver_failed_leaves_no_record(
    controller, volume, monkeypatch
):
    first = controller.backends["first"]._driver
    failing_after(monkeypatch, first, "delete_volume")
    volume.migrate("second", by_copy=True)
    assert [each.id for each in controller.volumes()] == [volume.id]
    assert (controller.store.find(IntentRecord), read(volume)) == ([], b"first")


def test_two_backends_with_one_folder_lose_nothing(controller, volume, tmp_path):
    controller.backend("same", volume_driver="file", file_root=str(tmp_path / "first"))
    for by_copy in (False, True):
        for place in ("same", "first"):
            volume.migrate(place, by_copy=by_copy)
            assert (volume.backend.id, read(volume)) == (place, b"first")
    assert len(files(controller, "first")) == 1
    assert [each.id for each in controller.volumes()] == [volume.id]


def test_what_cannot_be_migrated_is_refused(controller, volume):
    refused = [
        (errors.BackendNotFound, lambda: volume.migrate("unknown")),
        (errors.InvalidInput, lambda: volume.migrate("second", "no such pool")),
        (errors.InvalidInput, lambda: volume.migrate("first", "no such pool")),
        (errors.InvalidInput, lambda: volume.migrate(None)),
    ]
    for error, call in refused:
        with pytest.raises(error):
            call()
    snapshot = volume.create_snapshot()
    with pytest.raises(errors.InvalidVolume, match="snapshots"):
        volume.migrate("second")
    with snapshot.attached() as connection, pytest.raises(errors.InvalidVolume, match="temporary"):
        connection.volume.migrate("second")
    snapshot.delete()
    with volume.attached(), pytest.raises(errors.InvalidVolume, match="connected"):
        volume.migrate("second")
    volume.migrate("first")
    assert volume.changed is False
    assert (volume.status, read(volume)) == ("available", b"first")
