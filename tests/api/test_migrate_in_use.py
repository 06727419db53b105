"""Migrations whose data another program copies while it uses the volume."""

from __future__ import annotations

import os

import pytest
from api import file_backends
from api.file_backends import read

from cinderlib import errors
from cinderlib.records import IntentRecord


@pytest.fixture
def controller(tmp_path):
    with file_backends.controller(tmp_path, "first", "second", "third") as made:
        yield made


@pytest.fixture
def volume(controller):
    return controller.backends["first"].create_volume(1, name="data", metadata={"a": "1"})


def mirrored(copy):
    """Attach the copy, and write to it."""
    connection = copy.attach()
    with open(connection.path, "r+b") as device:
        device.write(b"mirrored")
        device.flush()
        os.fsync(device.fileno())
    return connection


def files(controller, name):
    return os.listdir(controller.backends[name].config["file_root"])


def test_the_copy_becomes_the_volume_with_its_connections(controller, volume):
    volume.attach()
    copy = volume.start_migration("second")
    assert (volume.changed, volume.status, volume.migration_status) == (True, "in-use", "migrating")
    again = controller.volume(volume.id).start_migration("second")
    assert (again.id, volume.migration_copy.id) == (copy.id, copy.id)
    connection = mirrored(copy)
    with pytest.raises(errors.InvalidVolume, match="it is connected to"):
        volume.finish_migration()
    volume.detach()
    volume.finish_migration()
    assert (volume.changed, volume.backend.id, volume.status) == (True, "second", "in-use")
    assert (volume.name, volume.metadata, volume.migration_copy) == ("data", {"a": "1"}, None)
    assert [each.id for each in volume.connections] == [connection.id]
    assert [each.id for each in controller.volumes()] == [volume.id]
    assert (files(controller, "first"), len(files(controller, "second"))) == ([], 1)
    volume.finish_migration()
    assert volume.changed is False
    volume.detach()
    assert (volume.status, volume.attach_status) == ("available", "detached")
    assert read(volume, 8) == b"mirrored"
    for backend in controller.backends.values():
        assert backend.reconcile() == []
    # The name on the storage is that of the copy. Further migrations do not collide with it.
    copy = volume.start_migration("third")
    assert copy.id not in volume.name_in_storage
    mirrored(copy)
    copy.detach()
    volume.finish_migration()
    assert (volume.backend.id, read(volume, 8)) == ("third", b"mirrored")
    volume.migrate("first")
    volume.delete()
    assert [files(controller, name) for name in controller.backends] == [[], [], []]


def test_a_cancelled_migration_leaves_nothing(controller, volume):
    copy = volume.start_migration("second")
    mirrored(copy)
    with pytest.raises(errors.InvalidVolume, match="connected"):
        volume.cancel_migration()
    copy.detach()
    volume.cancel_migration()
    assert (volume.changed, volume.migration_status, volume.status) == (True, None, "available")
    volume.cancel_migration()
    assert volume.changed is False
    assert [each.id for each in controller.volumes()] == [volume.id]
    assert files(controller, "second") == []
    assert controller.store.find(IntentRecord) == []


def test_others_are_refused_until_it_is_finished(controller, volume):
    copy = volume.start_migration("second")
    calls = [
        lambda each: each.delete(),
        lambda each: each.extend(2),
        lambda each: each.clone(),
        lambda each: each.create_snapshot(),
        lambda each: each.migrate("third"),
    ]
    for call in calls:
        with pytest.raises(errors.InvalidVolume):
            call(volume)
    for call in calls[1:]:
        with pytest.raises(errors.InvalidVolume):
            call(copy)
    with pytest.raises(errors.AlreadyExists, match="finish or cancel"):
        volume.start_migration("third")
    volume.cancel_migration()
    with pytest.raises(errors.InvalidVolume, match="already on"):
        volume.start_migration("first")


def test_a_copy_in_use_stays_if_the_driver_fails_at_the_end(controller, volume, monkeypatch):
    copy = volume.start_migration("second")
    connection = mirrored(copy)

    def fail(record, copy, status):
        raise errors.DriverError("busy")

    with monkeypatch.context() as patch:
        second = controller.backends["second"]._driver
        patch.setattr(second, "update_migrated_volume", fail)
        with pytest.raises(errors.DriverError, match="busy"):
            volume.finish_migration()
    volume.refresh()
    assert (volume.migration_status, volume.backend.id) == ("migrating", "first")
    assert [each.id for each in copy.connections] == [connection.id]
    assert os.path.exists(connection.path)
    volume.finish_migration()
    volume.detach()
    assert (volume.backend.id, read(volume, 8)) == ("second", b"mirrored")


def test_a_copy_that_cannot_be_created_leaves_nothing(controller, volume, monkeypatch):
    def fail(record):
        raise errors.DriverError("full", retryable=False)

    second = controller.backends["second"]._driver
    monkeypatch.setattr(second, "create_volume", fail)
    with pytest.raises(errors.DriverError, match="full"):
        volume.start_migration("second")
    volume.refresh()
    assert (volume.migration_status, volume.status) == (None, "available")
    assert [each.id for each in controller.volumes()] == [volume.id]
