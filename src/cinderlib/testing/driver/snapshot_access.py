"""Tests of snapshots that are mapped and attached to hosts."""

from __future__ import annotations

from typing import Any

import pytest

from cinderlib import errors
from cinderlib.testing.device import Device
from cinderlib.testing.driver.base import DriverTests, needs


class SnapshotAccessTests(DriverTests):
    """A host accesses a snapshot read-only, and nothing remains after it disconnects."""

    @needs("snapshot_access", "attach")
    def test_attached_snapshot_has_the_data_of_its_time(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        snapshot = volume.create_snapshot("before")
        with self._attached(volume) as device:
            later = self._write(device)
        with snapshot.attached() as connection:
            device = Device(connection.path)
            assert connection.attach_mode == "ro"
            self._check(device, pattern, size=self.size)
            if "read_only" in self.supports:
                # The classes of librbd's errors differ from Python's.
                with pytest.raises(Exception, match=r"(?i)read.?only|not permitted|denied"):
                    Device(connection.path).write(0, bytes(512))
            again = snapshot.attach()
            assert (again.id, snapshot.changed) == (connection.id, False)
        with snapshot.attached() as connection:
            self._check(Device(connection.path), pattern)
        with self._attached(volume) as device:
            self._check(device, later)
        self._only(backend, volume)

    @needs("snapshot_access")
    def test_connected_snapshot_is_a_connection_until_it_is_disconnected(
        self, backend: Any
    ) -> None:
        volume = backend.create_volume(self.size)
        snapshot = volume.create_snapshot()
        connector = self.connector(backend)
        first, second = snapshot.connect(connector), snapshot.connect(connector)
        assert (first.id, second.changed) == (second.id, False)
        assert set(first.connection_info["conn"]) >= {"driver_volume_type", "data"}
        assert [each.id for each in snapshot.connections] == [first.id]
        with pytest.raises(errors.InvalidSnapshot):
            snapshot.delete()
        temporary = first.volume
        assert (temporary.snapshot_id, volume.connections) == (snapshot.id, [])
        for refused in (temporary.clone, temporary.create_snapshot, temporary.delete):
            with pytest.raises(errors.InvalidVolume):
                refused()
        self._consistent(backend)
        first.disconnect()
        second.disconnect()
        assert (snapshot.connections, snapshot.local_attach) == ([], None)
        self._only(backend, volume)
        snapshot.detach()
        assert snapshot.changed is False
        snapshot.delete()

    @needs("snapshot_access")
    def test_snapshot_that_cannot_be_connected_leaves_nothing(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        snapshot = volume.create_snapshot()
        for wrong in ({}, None, {"host": ""}):
            with pytest.raises(errors.InvalidInput):
                snapshot.connect(wrong)
        self._only(backend, volume)
        snapshot.delete()
        with pytest.raises(errors.SnapshotNotFound):
            snapshot.connect(self.connector(backend))
        self._only(backend, volume)

    def _only(self, backend: Any, volume: Any) -> None:
        """The backend has this volume and no other."""
        assert [each.id for each in backend.volumes] == [volume.id]
        assert list(backend.controller.connections()) == []
        self._consistent(backend)

    def _consistent(self, backend: Any) -> None:
        """The storage agrees with the store, as far as the driver can determine that."""
        found = {each.problem for each in backend.reconcile()}
        assert found <= (set() if "list" in self.supports else {"unverified"})

    @needs("revert_by_copy", "attach")
    def test_volume_is_reverted_by_a_copy_to_any_snapshot(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        first = volume.create_snapshot("first")
        with self._attached(volume) as device:
            later = self._write(device)
        second = volume.create_snapshot("second")
        for snapshot, wanted in ((first, pattern), (second, later)):
            volume.revert_to_snapshot(snapshot, by_copy=True)
            assert (volume.status, volume.attach_status) == ("available", "detached")
            with self._attached(volume) as device:
                self._check(device, wanted, size=self.size)
        assert [each.id for each in volume.snapshots] == [first.id, second.id]
        self._only(backend, volume)
        with volume.attached(), pytest.raises(errors.InvalidVolume):
            volume.revert_to_snapshot(first, by_copy=True)
