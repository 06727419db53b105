"""Tests of snapshots and clones."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.testing.driver.base import DriverTests, needs


class CopyTests(DriverTests):
    """Copies have the data of their source, and stay independent of it."""

    @needs("snapshot")
    def test_snapshot_keeps_its_data(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            old = self._write(device)
        snapshot = volume.create_snapshot(name="before")
        assert (snapshot.status, snapshot.volume_size) == ("available", self.size)
        with self._attached(volume) as device:
            new = self._write(device)
        restored = snapshot.create_volume()
        with self._attached(restored) as device:
            self._check(device, old)
        with self._attached(volume) as device:
            self._check(device, new)

    @needs("snapshot_attached")
    def test_snapshot_of_an_attached_volume_has_its_data(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            old = self._write(device)
            snapshot = volume.create_snapshot()
            new = self._write(device)
            self._check(device, new)
        with self._attached(snapshot.create_volume()) as device:
            self._check(device, old)

    @needs("snapshot", "extend")
    def test_volume_from_a_snapshot_can_be_larger(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        larger = volume.create_snapshot().create_volume(size=self.size + 1)
        with self._attached(larger) as device:
            self._check(device, pattern, size=self.size + 1)

    @needs("clone")
    def test_clone_has_the_data_and_is_independent(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        clone = volume.clone(name="copy")
        with self._attached(clone) as device:
            self._check(device, pattern)
            other = self._write(device)
        with self._attached(volume) as device:
            self._check(device, pattern)
        with self._attached(clone) as device:
            self._check(device, other)

    @needs("clone", "extend")
    def test_clone_can_be_larger(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        with self._attached(volume.clone(size=self.size + 1)) as device:
            self._check(device, pattern, size=self.size + 1)

    @needs("snapshot")
    def test_repeated_create_and_delete_of_a_snapshot_have_no_effect(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        snapshot = volume.create_snapshot()
        assert volume.create_snapshot(id=snapshot.id).id == snapshot.id
        assert [s.id for s in volume.snapshots] == [snapshot.id]
        snapshot.delete()
        snapshot.delete()
        assert volume.snapshots == []

    @needs("snapshot")
    def test_volume_with_snapshots_is_not_deleted(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        snapshot = volume.create_snapshot()
        with pytest.raises(errors.InvalidVolume):
            volume.delete()
        assert snapshot.create_volume().status == "available"

    @needs("independent_copies", "snapshot", "clone")
    def test_copies_do_not_depend_on_their_sources(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        snapshot = volume.create_snapshot()
        copies = snapshot.create_volume(), volume.clone()
        snapshot.delete()
        volume.delete()
        for copy in copies:
            with self._attached(copy) as device:
                self._check(device, pattern)

    @needs("revert", "snapshot")
    def test_revert_restores_the_data(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            old = self._write(device)
        snapshot = volume.create_snapshot()
        with self._attached(volume) as device:
            self._write(device)
        volume.revert_to_snapshot(snapshot)
        with self._attached(volume) as device:
            self._check(device, old, size=self.size)

    @needs("snapshot")
    def test_revert_to_any_snapshot_works_or_changes_nothing(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        snapshots = [volume.create_snapshot() for _ in range(2)]
        for snapshot in snapshots:
            with contextlib.suppress(errors.Unsupported, errors.InvalidVolume):
                volume.revert_to_snapshot(snapshot)
            volume.refresh()
            assert volume.status == "available"
            assert [each.status for each in volume.snapshots] == ["available"] * 2
        for snapshot in snapshots:
            snapshot.create_volume().delete()
