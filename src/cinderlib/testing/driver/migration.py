"""Tests of migrations to another backend and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cinderlib import Controller, errors
from cinderlib.persistence.base import Put
from cinderlib.records import replace
from cinderlib.testing.driver.base import GIB, DriverTests, needs


class MigrationTests(DriverTests):
    """A migrated volume keeps its ID, its properties and its data, and leaves nothing behind."""

    def destination_options(self, tmp_path: Path) -> dict[str, Any]:
        """The options of the backend to which the tests migrate; by default files of this host."""
        return {"volume_driver": "file", "file_root": str(tmp_path / "destination")}

    @pytest.fixture
    def destination(self, controller: Any, backend: Any, tmp_path: Path) -> Any:
        return controller.backend("destination", **self.destination_options(tmp_path))

    @needs("migrate", "attach")
    def test_migrated_volume_keeps_its_data(self, backend: Any, destination: Any) -> None:
        volume = backend.create_volume(self.size, name="data", metadata={"a": "1"})
        with self._attached(volume) as device:
            pattern = self._write(device)
        id, before = volume.id, backend.volumes
        for place in (destination, backend, destination, backend):
            volume.migrate(place)
            assert (volume.id, volume.backend, volume.changed) == (id, place, True)
            assert (volume.name, volume.metadata, volume.size) == ("data", {"a": "1"}, self.size)
            assert (volume.status, volume.attach_status) == ("available", "detached")
            with self._attached(volume) as device:
                self._check(device, pattern)
            volume.migrate(place)
            assert volume.changed is False
            self._nothing_else(volume, backend, destination)
        assert backend.volumes == before
        volume.extend(self.size + 1)
        volume.create_snapshot().delete()
        with self._attached(volume) as device:
            self._check(device, pattern)
            assert device is None or device.size == (self.size + 1) * GIB

    @needs("migrate", "attach")
    def test_migration_by_a_copy_has_the_same_result(self, backend: Any, destination: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        for place in (destination, backend):
            volume.migrate(place, by_copy=True)
            with self._attached(volume) as device:
                self._check(device, pattern)
            self._nothing_else(volume, backend, destination)

    @needs("migrate", "attach")
    def test_migration_can_change_the_type(
        self, controller: Any, backend: Any, destination: Any
    ) -> None:
        kind = controller.create_type(
            "conformance", qos_specs={"consumer": "front-end", "total_iops_sec": "500"}
        )
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        for place, type in ((destination, kind), (backend, None)):
            volume.retype(type, migrate=True, backend=place)
            assert (volume.backend, volume.changed) == (place, True)
            assert volume.type_name == (type and type.name)
            with self._attached(volume) as device:
                self._check(device, pattern)
            volume.retype(type, migrate=True, backend=place)
            assert volume.changed is False
            self._nothing_else(volume, backend, destination)

    @needs("list", "name_id")
    def test_data_with_the_name_of_another_volume_is_distinguished(
        self, controller: Any, backend: Any
    ) -> None:
        """After a migration on one array, the data has the ID of the copy in its name."""
        if not isinstance(controller, Controller):
            pytest.skip("records are not written through the service")
        volume, copy = backend.create_volume(self.size), backend.create_volume(self.size + 1)
        moved = replace(copy.record, id=volume.id, version=volume.record.version, name_id=copy.id)
        old = replace(volume.record, id=copy.id, version=copy.record.version, name_id=volume.id)
        controller.store.apply(Put(moved), Put(old))
        volume.refresh()
        assert (volume.name_in_storage, volume.size) == (f"volume-{copy.id}", self.size + 1)
        volume.disconnect(volume.connect(self.connector(backend)))
        copy.refresh()
        copy.delete()
        assert {each.problem for each in backend.reconcile()} <= {"unverified"}
        volume.extend(self.size + 2)
        volume.create_snapshot().delete()
        volume.delete()
        assert backend.reconcile() == []

    @needs("migrate", "snapshot")
    def test_volume_in_use_is_not_migrated(self, backend: Any, destination: Any) -> None:
        volume = backend.create_volume(self.size)
        connection = volume.connect(self.connector(backend))
        with pytest.raises(errors.InvalidVolume):
            volume.migrate(destination)
        volume.disconnect(connection)
        snapshot = volume.create_snapshot()
        with pytest.raises(errors.InvalidVolume):
            volume.migrate(destination)
        snapshot.delete()
        with pytest.raises(errors.InvalidInput):
            volume.migrate(destination, "not a pool of this backend")
        assert (volume.status, volume.backend) == ("available", backend)
        self._nothing_else(volume, backend, destination)

    def _nothing_else(self, volume: Any, *backends: Any) -> None:
        assert [each.id for each in volume.backend.controller.volumes()] == [volume.id]
        assert list(volume.backend.controller.connections()) == []
        for backend in backends:
            assert {each.problem for each in backend.reconcile()} <= {"unverified"}
