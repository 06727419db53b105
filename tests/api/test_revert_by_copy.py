"""Reverts that copy the data: what remains when a step fails, and who is refused meanwhile."""

from __future__ import annotations

import pytest
from api import file_backends
from api.file_backends import read, write

from cinderlib import errors


@pytest.fixture
def volume(tmp_path):
    with file_backends.controller(tmp_path, "files") as controller:
        made = controller.backends["files"].create_volume(1, name="data")
        write(made, b"first")
        made.create_snapshot("monday")
        write(made, b"later")
        yield made


def test_a_failed_copy_leaves_a_snapshot_of_the_data_before(volume, monkeypatch):
    host = volume._controller.local_host

    def fail(source, target, report):
        raise errors.NodeError("the device failed")

    monkeypatch.setattr(host, "copy", fail)
    with pytest.raises(errors.NodeError, match="the device failed") as raised:
        volume.revert_to_snapshot(volume.snapshots[0], by_copy=True)
    monkeypatch.undo()
    volume.refresh()
    assert (volume.status, volume.connections) == ("error", [])
    monday, safety = volume.snapshots
    assert safety.id in raised.value.__notes__[0]
    volume.revert_to_snapshot(safety, by_copy=True)
    assert (volume.status, read(volume)) == ("available", b"later")
    volume.revert_to_snapshot(monday, by_copy=True)
    assert read(volume) == b"first"
    assert [each.id for each in volume.snapshots] == [monday.id, safety.id]


def test_a_volume_that_cannot_be_attached_keeps_its_data(volume, monkeypatch):
    host = volume._controller.local_host

    def fail(connection, volume, options):
        raise errors.NodeError("no device")

    monkeypatch.setattr(host, "attach", fail)
    with pytest.raises(errors.NodeError, match="no device"):
        volume.revert_to_snapshot(volume.snapshots[0], by_copy=True)
    monkeypatch.undo()
    volume.refresh()
    assert (volume.status, read(volume)) == ("available", b"later")
    assert [each.name for each in volume.snapshots] == ["monday"]
    assert [each.id for each in volume.backend.volumes] == [volume.id]


def test_others_are_refused_while_the_data_is_copied(volume, monkeypatch):
    host, copy = volume._controller.local_host, volume._controller.local_host.copy
    refused = []

    def meanwhile(source, target, report):
        other = {"host": "other"}
        for call in (volume.delete, lambda: volume.connect(other), volume.snapshots[0].delete):
            with pytest.raises(errors.CinderlibError):
                call()
            refused.append(call)
        assert [each.outcome for each in volume._controller.recover()] == ["skipped"]
        copy(source, target, report)

    monkeypatch.setattr(host, "copy", meanwhile)
    volume.revert_to_snapshot(volume.snapshots[0], by_copy=True)
    assert len(refused) == 3
    assert read(volume) == b"first"


def test_a_connected_volume_is_refused(volume):
    with volume.attached(), pytest.raises(errors.InvalidVolume, match="disconnected"):
        volume.revert_to_snapshot(volume.snapshots[0], by_copy=True)
    assert [each.name for each in volume.snapshots] == ["monday"]
