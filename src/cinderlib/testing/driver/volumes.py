"""Tests of the backend and its volumes."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cinderlib
from cinderlib import errors
from cinderlib.testing.driver.base import DriverTests, needs

_THREADS = 8


class VolumeTests(DriverTests):
    """Volumes are created, listed, compared with the storage and deleted."""

    def test_stats_have_pools_with_capacity(self, backend: Any) -> None:
        stats = backend.stats(refresh=True)
        names = [pool["pool_name"] for pool in stats["pools"]]
        assert names
        assert list(backend.pool_names) == names
        for pool in stats["pools"]:
            assert {"total_capacity_gb", "free_capacity_gb", "reserved_percentage"} <= pool.keys()

    def test_possible_operations_have_no_reason(self, backend: Any) -> None:
        for capability in backend.capabilities().values():
            assert capability.way in ("native", "generic", "none")
            assert bool(capability.reason) == (capability.way != "native")

    def test_impossible_operations_are_refused_before_any_change(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        possible = {name: each.is_possible for name, each in backend.capabilities().items()}
        possible["volume.retype"] = backend.capabilities()["volume.retype"].way == "native"
        attempts: list[tuple[str, Callable[[], Any]]] = [
            ("volume.clone", volume.clone),
            ("volume.extend", lambda: volume.extend(self.size + 1)),
            ("snapshot.create", volume.create_snapshot),
            ("volume.list_manageable", backend.manageable_volumes),
            ("volume.manage", lambda: backend.manage_volume({"source-name": "x"})),
            ("snapshot.list_manageable", backend.manageable_snapshots),
            ("snapshot.manage", lambda: volume.manage_snapshot({"source-name": "x"})),
            ("volume.retype", lambda: volume.retype(extra_specs={"conformance": "suite"})),
            ("volume.multiattach", lambda: backend.create_volume(self.size, multiattach=True)),
        ]
        if possible["snapshot.create"]:
            snapshot = volume.create_snapshot()
            attempts += [
                ("volume.create_from_snapshot", snapshot.create_volume),
                ("volume.revert", lambda: volume.revert_to_snapshot(snapshot)),
            ]
        for operation, attempt in attempts:
            if not possible[operation]:
                with pytest.raises(errors.Unsupported):
                    attempt()
                volume.refresh()
                assert (volume.status, volume.size) == ("available", self.size)
        assert [each.id for each in backend.volumes] == [volume.id]

    @needs("thin")
    def test_thin_driver_reports_thin_provisioning(self, backend: Any) -> None:
        pools = backend.stats(refresh=True)["pools"]
        assert all(pool["thin_provisioning_support"] for pool in pools)
        # Cinder has a default for a driver that reports none.
        assert all(float(pool.get("max_over_subscription_ratio") or 1) >= 1 for pool in pools)

    def test_life_cycle(self, controller: Any, backend: Any) -> None:
        volume = backend.create_volume(self.size, name="first", metadata={"owner": "suite"})
        assert (volume.status, volume.attach_status) == ("available", "detached")
        found = controller.volume(volume.id)
        assert (found.size, found.name, found.metadata) == (self.size, "first", {"owner": "suite"})
        assert [v.id for v in backend.volumes] == [volume.id]
        volume.delete()
        assert list(backend.volumes) == []
        with pytest.raises(errors.VolumeNotFound):
            controller.volume(volume.id)

    def test_volume_keeps_its_specs(self, controller: Any, backend: Any) -> None:
        specs = {"extra_specs": {"suite:tier": "gold"}, "qos_specs": {"maxIOPS": "1000"}}
        volume = backend.create_volume(self.size, **specs)
        found = controller.volume(volume.id)
        assert found.extra_specs == {"suite:tier": "gold"}
        assert found.qos_specs == {"maxIOPS": "1000"}

    def test_name_in_storage_is_unique(self, backend: Any) -> None:
        names = {backend.create_volume(self.size).name_in_storage for _ in range(2)}
        assert len(names) == 2
        assert all(names)

    def test_repeated_create_and_delete_have_no_effect(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        again = backend.create_volume(self.size, id=volume.id)
        assert again.id == volume.id
        assert len(list(backend.volumes)) == 1
        with pytest.raises(errors.AlreadyExists):
            backend.create_volume(self.size + 1, id=volume.id)
        volume.delete()
        volume.delete()
        again.delete()

    def test_a_volume_has_a_type(self, controller: Any, backend: Any) -> None:
        controller.create_type("conformance", description="of the suite")
        volume = backend.create_volume(self.size, type="conformance")
        assert controller.volume(volume.id).type_name == "conformance"
        with pytest.raises(errors.InvalidState):
            controller.delete_type("conformance")
        volume.delete()
        assert controller.delete_type("conformance")

    @needs("retype")
    def test_retype_keeps_the_data(self, controller: Any, backend: Any) -> None:
        is_native = backend.capabilities()["volume.retype"].way == "native"
        if not is_native and "attach" not in self.supports:
            pytest.skip("the data cannot be copied without attachments")
        if not is_native and "name_id" not in self.supports:
            pytest.skip("the driver may confuse a volume and its copy")
        if is_native and not self.retype_specs:
            pytest.skip("the suite of this driver specifies no retype_specs")
        specs = dict(self.retype_specs) or {"conformance": "suite"}
        controller.create_type("conformance", extra_specs=specs)
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        for _ in range(2):
            volume.retype("conformance", migrate=not is_native)
            found = controller.volume(volume.id)
            assert (found.status, found.type_name) == ("available", "conformance")
            assert found.extra_specs == specs
            with self._attached(volume) as device:
                self._check(device, pattern)
        volume.retype(migrate=not is_native)
        assert controller.volume(volume.id).extra_specs == {}
        with self._attached(volume) as device:
            self._check(device, pattern)
        volume.delete()

    @pytest.mark.parametrize("size", [0, -1, "a", None, True, float("nan")])
    def test_invalid_size_is_refused(self, backend: Any, size: Any) -> None:
        with pytest.raises(errors.InvalidInput):
            backend.create_volume(size)
        assert list(backend.volumes) == []

    def test_second_controller_manages_the_same_volumes(
        self, controller: Any, backend: Any, tmp_path: Path
    ) -> None:
        kept = backend.create_volume(self.size)
        deleted = backend.create_volume(self.size)
        database = {"storage": "db", "connection": f"sqlite:///{tmp_path}/conformance.sqlite"}
        with cinderlib.Controller(persistence_config=database) as second:
            second.backend("conformance", **self.backend_options(tmp_path))
            second.volume(deleted.id).delete()
        assert [v.id for v in backend.volumes] == [kept.id]

    def test_existing_volumes_are_never_reported_missing(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        if "clone" in self.supports:
            volume.clone()
        if "snapshot" in self.supports:
            volume.create_snapshot().create_volume()
        connection = volume.connect(self.connector(backend))
        found = {each.problem for each in backend.reconcile(repair=True)}
        assert found <= (set() if "list" in self.supports else {"unverified"})
        volume.disconnect(connection)

    @needs("list")
    def test_reconcile_finds_orphans(self, backend: Any) -> None:
        kept, lost = backend.create_volume(self.size), backend.create_volume(self.size)
        orphans = [lost.id]
        if "snapshot" in self.supports:
            kept.create_snapshot()
            snapshot = lost.create_snapshot()
            orphans.append(snapshot.id)
        assert backend.reconcile() == []
        if "snapshot" in self.supports:
            backend.persistence.delete_snapshot(snapshot)
        backend.persistence.delete_volume(lost)
        found = backend.reconcile(repair=True)
        assert sorted(each.resource_id for each in found) == sorted(orphans)
        assert {(each.problem, each.outcome) for each in found} == {("orphan", "found")}
        found = backend.reconcile(remove=orphans)
        assert {(each.problem, each.outcome) for each in found} == {("orphan", "removed")}
        assert backend.reconcile() == []
        assert [volume.id for volume in backend.volumes] == [kept.id]

    @needs("list")
    def test_reconcile_finds_missing_volumes(self, controller: Any, backend: Any) -> None:
        kept, lost = backend.create_volume(self.size), backend.create_volume(self.size)
        record = lost.jsons
        lost.delete()
        controller.load(record, save=True)
        (found,) = backend.reconcile(repair=True)
        assert (found.problem, found.resource_id, found.outcome) == ("missing", lost.id, "found")
        (found,) = backend.reconcile(remove=[lost.id])
        assert found.outcome == "removed"
        assert [volume.id for volume in backend.volumes] == [kept.id]

    def test_concurrent_threads_do_not_affect_each_other(self, backend: Any) -> None:
        together = threading.Barrier(_THREADS, timeout=60)

        def cycle(number: int) -> None:
            together.wait()
            volume = backend.create_volume(self.size, name=f"thread {number}")
            with self._attached(volume) as device:
                pattern = self._write(device)
            copies = [volume]
            if "snapshot" in self.supports:
                snapshot = volume.create_snapshot()
                copies.append(snapshot.create_volume())
            if "clone" in self.supports:
                copies.append(volume.clone())
            for copy in copies:
                with self._attached(copy) as device:
                    self._check(device, pattern)
            for copy in copies[1:]:
                copy.delete()
            if "snapshot" in self.supports:
                snapshot.delete()
            volume.delete()

        with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(cycle, range(_THREADS)))
        assert list(backend.volumes) == []
