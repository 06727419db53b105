"""Tests of groups and group snapshots."""

from __future__ import annotations

from typing import Any

import pytest

from cinderlib import errors
from cinderlib.testing.driver.base import DriverTests, needs


class GroupTests(DriverTests):
    """A group snapshot has the data of all volumes of the group, and a group leaves nothing
    behind."""

    def _take(self, group: Any, **fields: Any) -> Any:
        """A group snapshot, of the same moment if the driver reports that it can take it."""
        native = group.backend.capabilities()["group_snapshot.create"].way == "native"
        taken = group.create_snapshot(one_after_another=not native, **fields)
        assert taken.consistent is native
        return taken

    def _written(self, backend: Any) -> tuple[list[Any], list[Any]]:
        """Two volumes, and the data that each has."""
        volumes = [backend.create_volume(self.size, name=name) for name in ("one", "two")]
        patterns = []
        for volume in volumes:
            with self._attached(volume) as device:
                patterns.append(self._write(device))
        return volumes, patterns

    @needs("group_snapshot", "attach")
    def test_group_snapshot_has_the_data_of_all_volumes(self, backend: Any) -> None:
        volumes, patterns = self._written(backend)
        group = backend.create_group("pair", volumes)
        taken = self._take(group, name="kept")
        for volume in volumes:
            with self._attached(volume) as device:
                self._write(device)
        for snapshot, pattern in zip(taken.snapshots, patterns, strict=True):
            assert (snapshot.status, snapshot.group_snapshot_id) == ("available", taken.id)
            copy = snapshot.create_volume()
            with self._attached(copy) as device:
                self._check(device, pattern)
            copy.delete()
        taken.delete()
        assert all(volume.snapshots == [] for volume in volumes)

    @needs("group_snapshot", "group_copy")
    def test_groups_are_copied_with_their_data(self, backend: Any) -> None:
        volumes, patterns = self._written(backend)
        group = backend.create_group("pair", volumes)
        taken = self._take(group, name="kept")
        native = backend.capabilities()["group.clone"].way == "native"
        clone = group.clone("clone", one_after_another=not native)
        for volume in volumes:
            with self._attached(volume) as device:
                self._write(device)
        copy = taken.create_group("copy")
        again = taken.create_group("copy", id=copy.id)
        assert (again, again.changed, again.volume_ids) == (copy, False, copy.volume_ids)
        assert (copy.group_snapshot_id, clone.source_group_id) == (taken.id, group.id)
        for made in (copy, clone):
            assert [each.name for each in made.volumes] == [f"{made.name}-one", f"{made.name}-two"]
            for volume, pattern in zip(made.volumes, patterns, strict=True):
                assert (volume.status, volume.group_id) == ("available", made.id)
                with self._attached(volume) as device:
                    self._check(device, pattern)
            made.delete(volumes=True)
        taken.delete()
        group.delete(volumes=True)
        assert backend.volumes == []
        assert {each.problem for each in backend.reconcile()} <= {"unverified"}

    @needs("group_snapshot")
    def test_group_changes_and_is_deleted(self, backend: Any) -> None:
        first, second = (backend.create_volume(self.size) for _ in range(2))
        group = backend.create_group("pair", [first])
        group.add(second)
        group.add(second)
        assert (group.changed, group.volumes) == (False, [first, second])
        taken = self._take(group)
        with pytest.raises(errors.InvalidGroup):
            group.delete()
        with pytest.raises(errors.InvalidSnapshot):
            taken.snapshots[0].delete()
        with pytest.raises(errors.InvalidVolume):
            first.delete()
        again = self._take(group, id=taken.id)
        assert (again, again.changed) == (taken, False)
        taken.delete()
        group.remove(first)
        group.delete(volumes=True)
        assert [each.id for each in backend.volumes] == [first.id]
        assert {each.problem for each in backend.reconcile()} <= {"unverified"}
        group.delete()
        assert group.changed is False
