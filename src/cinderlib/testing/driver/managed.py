"""Tests of existing volumes and snapshots: they are unmanaged and managed again."""

from __future__ import annotations

from typing import Any

import pytest

from cinderlib import errors
from cinderlib.testing.driver.base import DriverTests, needs


class ManageTests(DriverTests):
    """Existing volumes and snapshots get a record and lose it, and keep their data."""

    def missing_reference(self) -> dict[str, Any]:
        """A reference in the driver's form that identifies nothing."""
        return {"source-name": "conformance-missing"}

    def reference(self, resource: Any) -> dict[str, Any]:
        """The driver's reference of a volume or snapshot: from the driver's list, or its name."""
        backend = resource.backend
        is_volume = hasattr(resource, "snapshots")
        kind = "volume" if is_volume else "snapshot"
        if backend.capabilities()[f"{kind}.list_manageable"].is_possible:
            listed = backend.manageable_volumes() if is_volume else backend.manageable_snapshots()
            for entry in listed:
                if entry.resource_id == resource.id:
                    return dict(entry.reference)
        return {"source-name": resource.name_in_storage}

    @needs("manage")
    def test_unmanaged_volume_is_managed_again_with_its_data(
        self, controller: Any, backend: Any
    ) -> None:
        first = backend.create_volume(self.size, name="first")
        with self._attached(first) as device:
            pattern = self._write(device)
        reference = self._unmanaged(first)
        with pytest.raises(errors.VolumeNotFound):
            controller.volume(first.id)
        second = backend.manage_volume(reference, name="second", metadata={"owner": "suite"})
        assert (second.status, second.size, second.changed) == ("available", self.size, True)
        found = controller.volume(second.id)
        assert (found.name, found.metadata) == ("second", {"owner": "suite"})
        assert found.managed_from == reference
        with self._attached(second) as device:
            self._check(device, pattern)
        second.delete()
        assert backend.reconcile() == []

    @needs("manage")
    def test_repeated_manage_and_unmanage_have_no_effect(self, backend: Any) -> None:
        first = backend.create_volume(self.size)
        reference = self._unmanaged(first)
        first.unmanage()
        assert first.changed is False
        managed = backend.manage_volume(reference, id=first.id, name="again")
        again = backend.manage_volume(reference, id=first.id)
        assert (managed.changed, again.changed) == (True, False)
        assert [each.id for each in backend.volumes] == [first.id]
        with pytest.raises(errors.AlreadyExists):
            backend.manage_volume(self.missing_reference(), id=first.id)
        with pytest.raises(errors.AlreadyExists):
            backend.manage_volume(reference, id=first.id, name="other")

    @needs("manage")
    def test_reference_that_identifies_nothing_is_refused(self, backend: Any) -> None:
        for reference in (self.missing_reference(), {"conformance": "x"}):
            with pytest.raises((errors.InvalidInput, errors.DriverError)):
                backend.manage_volume(reference)
        for wrong in ({}, None, "name", {"source-name": object()}):
            with pytest.raises(errors.InvalidInput):
                backend.manage_volume(wrong)
        assert backend.volumes == []

    @needs("manage")
    def test_managed_volume_is_not_managed_a_second_time(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with pytest.raises(errors.CinderlibError):
            backend.manage_volume(self.reference(volume))
        assert [each.id for each in backend.volumes] == [volume.id]
        volume.disconnect(volume.connect(self.connector(backend)))

    def test_connected_volume_is_not_unmanaged(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        connection = volume.connect(self.connector(backend))
        with pytest.raises(errors.InvalidVolume):
            volume.unmanage()
        volume.disconnect(connection)

    @needs("snapshot")
    def test_volume_with_snapshots_is_not_unmanaged(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        volume.create_snapshot()
        with pytest.raises(errors.InvalidVolume):
            volume.unmanage()
        assert volume.snapshots[0].create_volume().status == "available"

    @needs("list_manageable")
    def test_managed_volumes_are_listed_with_their_id(self, backend: Any) -> None:
        volumes = [backend.create_volume(self.size) for _ in range(3)]
        listed = backend.manageable_volumes()
        found = {each.resource_id: each for each in listed if each.resource_id}
        assert {volume.id for volume in volumes} <= found.keys()
        for volume in volumes:
            entry = found[volume.id]
            assert (entry.size, entry.safe_to_manage) == (self.size, False)
            assert entry.reason_not_safe
        page = backend.manageable_volumes(limit=1)
        rest = backend.manageable_volumes(marker=page[0].reference)
        assert [*page, *rest] == listed
        assert backend.manageable_volumes(sort_dirs=["desc"])[-1] == listed[0]

    @needs("list_manageable", "manage")
    def test_unmanaged_volume_is_listed_as_manageable(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        reference = self._unmanaged(volume)
        entries = [e for e in backend.manageable_volumes() if e.reference == reference]
        assert [(e.size, e.resource_id, e.safe_to_manage) for e in entries] == [
            (self.size, None, True)
        ]
        backend.manage_volume(reference)

    @needs("manage_snapshots", "snapshot")
    def test_unmanaged_snapshot_is_managed_again_with_its_data(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        snapshot = volume.create_snapshot("first")
        with self._attached(volume) as device:
            self._write(device)
        reference = self._unmanaged(snapshot)
        assert volume.snapshots == []
        managed = volume.manage_snapshot(reference, name="second", id=snapshot.id)
        again = volume.manage_snapshot(reference, id=snapshot.id)
        assert (managed.status, managed.volume_size) == ("available", self.size)
        assert (managed.changed, again.changed) == (True, False)
        assert [each.id for each in volume.snapshots] == [managed.id]
        with self._attached(managed.create_volume()) as device:
            self._check(device, pattern)

    @needs("manage_snapshots", "snapshot")
    def test_snapshot_reference_that_identifies_nothing_is_refused(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with pytest.raises((errors.InvalidInput, errors.DriverError)):
            volume.manage_snapshot(self.missing_reference())
        assert volume.snapshots == []

    def _unmanaged(self, resource: Any) -> dict[str, Any]:
        """Unmanage a volume or snapshot.

        :returns: its reference.
        """
        reference = self.reference(resource)
        resource.unmanage()
        assert resource.changed
        return reference
