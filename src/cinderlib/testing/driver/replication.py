"""Tests of replication between storage systems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cinderlib
from cinderlib import errors
from cinderlib.testing.driver.base import DriverTests, needs


class ReplicationTests(DriverTests):
    """A backend fails over to the storage of a ``replication_device``, and back."""

    @needs("replication")
    def test_backend_fails_over_and_back(self, backend: Any) -> None:
        kept = backend.create_volume(self.size, extra_specs=dict(self.replicated_specs))
        lost = backend.create_volume(self.size)
        assert kept.replication_status == "enabled"
        target = backend.replication.targets[0]

        state = backend.failover(target)

        assert (state.status, state.active_backend_id) == ("failed-over", target)
        assert (state.changed, backend.failover(target).changed) == (True, False)
        assert not backend.failover().changed
        assert backend.stats()["active_backend_id"] == target
        self._refreshed(kept, lost)
        assert (kept.status, kept.replication_status) == ("available", "failed-over")
        assert (lost.status, lost.replication_status) == ("error", "not-capable")
        kept.disconnect(kept.connect(self.connector(backend)))
        with pytest.raises(errors.InvalidState, match="no replica there"):
            lost.delete()

        state = backend.failback()

        assert (state.status, state.active_backend_id) == ("enabled", None)
        assert (state.changed, backend.failback().changed) == (True, False)
        self._refreshed(kept, lost)
        assert (kept.status, kept.replication_status) == ("available", "enabled")
        assert (lost.status, lost.replication_extended_status) == ("available", None)
        lost.disconnect(lost.connect(self.connector(backend)))

    @needs("replication")
    def test_other_processes_use_the_active_storage(self, backend: Any, tmp_path: Path) -> None:
        volume = backend.create_volume(self.size, extra_specs=dict(self.replicated_specs))
        database = {"storage": "db", "connection": f"sqlite:///{tmp_path}/conformance.sqlite"}
        with cinderlib.Controller(persistence_config=database) as controller:
            other = controller.backend(backend.id, **self.backend_options(tmp_path))
            target = backend.failover().active_backend_id
            same = controller.volume(volume.id)
            same.disconnect(same.connect(self.connector(other)))
            assert other.driver_info.active_backend_id == target
            assert not other.failover().changed
            other.failback()
        volume.refresh()
        volume.disconnect(volume.connect(self.connector(backend)))
        assert backend.driver_info.active_backend_id is None

    @needs("replication")
    def test_impossible_failover_changes_nothing(self, backend: Any) -> None:
        before = backend.replication
        with pytest.raises(errors.InvalidInput, match="no replication device 'unknown'"):
            backend.failover("unknown")
        assert backend.replication == before
        assert not backend.failback().changed

    @needs("replication")
    def test_frozen_backend_only_connects_volumes(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        assert (backend.freeze().changed, backend.freeze().changed) == (True, False)
        assert backend.replication.frozen
        for refused in (volume.delete, lambda: backend.create_volume(self.size)):
            with pytest.raises(errors.InvalidState, match="is frozen"):
                refused()
        assert [each.id for each in backend.volumes] == [volume.id]
        assert volume.status == "available"
        volume.disconnect(volume.connect(self.connector(backend)))
        assert (backend.thaw().changed, backend.thaw().changed) == (True, False)
        volume.delete()

    def test_backend_without_replication_refuses_it(self, backend: Any) -> None:
        if backend.capabilities()["backend.failover"].is_possible:
            pytest.skip("the backend has replication")
        for refused in (backend.failover, backend.failback, backend.freeze, backend.thaw):
            with pytest.raises(errors.Unsupported, match="has no replication"):
                refused()
        assert backend.replication.status == "disabled"
        with pytest.raises(errors.Unsupported, match="no replication_device"):
            backend.create_volume(self.size, extra_specs={"replication_enabled": "<is> True"})
        assert list(backend.volumes) == []

    @needs("group_replication")
    def test_group_fails_over_and_back(self, backend: Any) -> None:
        volumes = [
            backend.create_volume(self.size, extra_specs=dict(self.replicated_specs))
            for _ in range(2)
        ]
        group = backend.create_group("pair", volumes, group_specs=dict(self.replicated_group_specs))
        group.enable_replication()
        assert self._replication_of(group) == ("enabled", None, {"enabled"})
        group.enable_replication()
        assert group.changed is False
        target = backend.replication.targets[0]

        group.failover(target)

        assert self._replication_of(group) == ("failed-over", target, {"failed-over"})
        group.failover(target)
        assert group.changed is False
        assert (backend.replication.status, group.status) == ("enabled", "available")
        self._refreshed(*volumes)
        for volume in volumes:
            volume.disconnect(volume.connect(self.connector(backend)))
        with pytest.raises(errors.InvalidGroup, match="Fail back first"):
            group.delete()

        group.failback()

        assert self._replication_of(group) == ("enabled", None, {"enabled"})
        group.failback()
        assert group.changed is False
        self._refreshed(*volumes)
        volumes[0].disconnect(volumes[0].connect(self.connector(backend)))
        group.disable_replication()
        assert self._replication_of(group) == ("disabled", None, {"disabled"})
        group.enable_replication()
        assert self._replication_of(group) == ("enabled", None, {"enabled"})
        group.delete()

    @needs("group_replication")
    def test_group_fails_over_with_its_backend(self, backend: Any) -> None:
        volume = backend.create_volume(self.size, extra_specs=dict(self.replicated_specs))
        specs = dict(self.replicated_group_specs)
        group = backend.create_group("single", [volume], group_specs=specs)
        group.enable_replication()
        target = backend.failover().active_backend_id
        assert self._replication_of(group) == ("failed-over", target, {"failed-over"})
        with pytest.raises(errors.InvalidState, match="backend failback"):
            group.failback()
        backend.failback()
        assert self._replication_of(group) == ("enabled", None, {"enabled"})
        group.delete()

    def test_backend_without_replicated_groups_refuses_them(self, backend: Any) -> None:
        if backend.capabilities()["group.replicate"].is_possible:
            pytest.skip("the backend replicates groups")
        with pytest.raises(errors.Unsupported, match="cannot replicate groups"):
            backend.create_group("pair", group_specs=dict(self.replicated_group_specs))
        assert list(backend.controller.groups(backend=backend.id)) == []

    def _replication_of(self, group: Any) -> tuple[str, str | None, set[str]]:
        """The status and the storage of a group, and the volumes' statuses."""
        group.refresh()
        of_volumes = {each.replication_status for each in group.volumes}
        return group.replication_status, group.active_backend_id, of_volumes

    def _refreshed(self, *volumes: Any) -> None:
        for volume in volumes:
            volume.refresh()
