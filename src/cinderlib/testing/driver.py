"""The conformance suite for drivers, which tests a driver on real storage.

The suite uses the public API and pytest. The author of a driver writes one short class::

    from cinderlib.testing import DriverConformance

    class TestMyDriver(DriverConformance):
        supports = frozenset({"attach", "block_device"})

        def backend_options(self, tmp_path):
            return {"volume_driver": "my_package.MyDriver", "san_ip": "192.0.2.1"}

The suite reads from the backend which operations the driver implements.
:attr:`~DriverConformance.supports` lists the other capabilities. Tests that need a capability that
the driver does not have are skipped. Each test uses its own controller and backend, removes its
resources at the end, and fails if any of them remain.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import stat
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

import cinderlib
from cinderlib import errors
from cinderlib.testing.device import Device, Pattern

GIB = 1 << 30
_THREADS = 8

#: Optional capabilities of a driver. Those in :data:`REPORTED` are read from the backend.
CAPABILITIES: Mapping[str, str] = {
    "attach": "attaches volumes to the host that runs the tests",
    "block_device": "an attached volume is a block device",
    "read_only": "a volume that is attached with mode 'ro' refuses writes",
    "snapshot": "creates snapshots, and volumes from snapshots",
    "snapshot_attached": "creates snapshots of attached volumes",
    "clone": "clones volumes",
    "independent_copies": "deletes a snapshot or volume from which other volumes were created",
    "list": "lists all volumes, and all snapshots if it supports them, on its storage",
    "extend": "extends volumes",
    "extend_attached": "extends attached volumes and their device",
    "revert": "reverts volumes to snapshots",
    "live_migration": "maps a volume to a second host during a live migration",
    "multiattach": "maps a volume to several hosts",
    "thin": "new volumes use no space",
}

#: Capability -> the operations of :meth:`cinderlib.Backend.capabilities` that it consists of.
REPORTED: Mapping[str, tuple[str, ...]] = {
    "snapshot": ("snapshot.create", "snapshot.delete", "volume.create_from_snapshot"),
    "clone": ("volume.clone",),
    "extend": ("volume.extend",),
    "extend_attached": ("volume.extend_connected",),
    "revert": ("volume.revert",),
    "multiattach": ("volume.multiattach",),
}

F = TypeVar("F", bound=Callable[..., Any])


def needs(*capabilities: str) -> Callable[[F], F]:
    """Mark a test of the suite with the capabilities that it requires."""

    def mark(test: F) -> F:
        test.needs = frozenset(capabilities)  # type: ignore[attr-defined]
        return test

    return mark


class DriverConformance:
    """The suite. A subclass must define :meth:`backend_options` and :attr:`supports`."""

    #: The capabilities of the driver that it does not report, from :data:`CAPABILITIES`. In a test,
    #: all capabilities.
    supports: frozenset[str] = frozenset()
    #: Capabilities that the driver reports and the tests cannot use, with the reason.
    lacks: ClassVar[Mapping[str, str]] = {}
    #: Size in GiB of the volumes of the tests: the smallest size that the driver supports.
    size: ClassVar[int] = 1

    def backend_options(self, tmp_path: Path) -> dict[str, Any]:
        """The options of the backend, including ``volume_driver``.

        :param tmp_path: a folder for this test.
        """
        raise NotImplementedError

    def leftovers(self, tmp_path: Path) -> Collection[str]:
        """Names of all resources of the driver on its storage, and of their devices on this host.
        A test fails if it changes them. The default does not check anything."""
        return ()

    def connector(self, backend: Any) -> dict[str, Any]:
        """The connector properties of this host."""
        return dict(backend.controller.local_connector(backend))

    # --- fixtures ------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _capable(self, request: pytest.FixtureRequest) -> None:
        unknown = (self.supports | self.lacks.keys()) - CAPABILITIES.keys()
        assert not unknown, f"{type(self).__name__} has unknown capabilities: {unknown}"
        self._skip_without(_needs(request) - REPORTED.keys())

    @pytest.fixture
    def controller(self, tmp_path: Path, _capable: None) -> Iterator[Any]:
        database = {"storage": "db", "connection": f"sqlite:///{tmp_path}/conformance.sqlite"}
        with cinderlib.Controller(persistence_config=database) as controller:
            yield controller

    @pytest.fixture
    def backend(
        self, request: pytest.FixtureRequest, controller: Any, tmp_path: Path
    ) -> Iterator[Any]:
        """The loaded backend. At the end, no resource of the test may remain."""
        before = sorted(self.leftovers(tmp_path))
        backend = controller.backend("conformance", **self.backend_options(tmp_path))
        self._skip_without(_needs(request), backend)
        yield backend
        _remove_all(controller)
        assert list(controller.volumes()) == []
        assert sorted(self.leftovers(tmp_path)) == before

    def _skip_without(self, needed: frozenset[str], backend: Any = None) -> None:
        """Skip the test if the driver does not have a capability.

        :param backend: the backend, to read the reported capabilities.
        """
        reasons = {name: CAPABILITIES[name] for name in needed - self.supports - REPORTED.keys()}
        if backend is not None:
            reported = backend.capabilities()
            able = {
                name
                for name, operations in REPORTED.items()
                if name not in self.lacks and all(reported[o].is_possible for o in operations)
            }
            reasons |= {
                name: self.lacks.get(name)
                or next(reported[o].reason for o in REPORTED[name] if not reported[o].is_possible)
                for name in needed & (REPORTED.keys() - able)
            }
            self.supports = (self.supports - REPORTED.keys()) | able
        if reasons:
            listed = "; ".join(f"{name} ({reason})" for name, reason in sorted(reasons.items()))
            pytest.skip(f"the driver does not support {listed}")

    # --- the backend ---------------------------------------------------------------------------

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
        attempts: list[tuple[str, Callable[[], Any]]] = [
            ("volume.clone", volume.clone),
            ("volume.extend", lambda: volume.extend(self.size + 1)),
            ("snapshot.create", volume.create_snapshot),
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

    # --- volumes -------------------------------------------------------------------------------

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

    # --- data ----------------------------------------------------------------------------------

    @needs("attach")
    def test_data_survives_detach_and_attach(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            device = Device(attachment.path)
            assert device.size == self.size * GIB
            if "block_device" in self.supports:
                assert stat.S_ISBLK(Path(attachment.path).stat().st_mode)
            pattern = self._write(device)
            volume.refresh()
            assert (volume.status, volume.attach_status) == ("in-use", "attached")
        volume.refresh()
        assert (volume.status, volume.attach_status) == ("available", "detached")
        with volume.attached() as attachment:
            self._check(Device(attachment.path), pattern)

    @needs("attach")
    def test_repeated_attach_returns_the_same_device(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        first, second = volume.attach(), volume.attach()
        assert first.id == second.id
        if isinstance(first.path, str):
            assert first.path == second.path
        assert len(volume.connections) == 1
        volume.detach()
        assert volume.connections == []

    @needs("attach", "read_only")
    def test_read_only_attachment_refuses_writes(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            pattern = self._write(Device(attachment.path))
        connection = volume.connect(self.connector(backend), attach_mode="ro")
        connection.attach()
        device = Device(connection.path)
        self._check(device, pattern)
        with pytest.raises(Exception, match=r"(?i)read.only|not permitted|denied"):
            device.write(0, b"overwritten")
        self._check(device, pattern)
        connection.detach()
        volume.disconnect(connection)

    @needs("attach")
    def test_two_volumes_are_attached_at_the_same_time(self, backend: Any) -> None:
        one, two = backend.create_volume(self.size), backend.create_volume(self.size)
        with one.attached() as first, two.attached() as second:
            patterns = self._write(Device(first.path)), self._write(Device(second.path))
            self._check(Device(first.path), patterns[0])
            self._check(Device(second.path), patterns[1])

    # --- snapshots and clones ------------------------------------------------------------------

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

    # --- extending -----------------------------------------------------------------------------

    @needs("extend")
    def test_extend_keeps_the_data(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        assert volume.extend(self.size + 1) == (self.size + 1) * GIB
        assert volume.size == self.size + 1
        with self._attached(volume) as device:
            self._check(device, pattern, size=self.size + 1)

    @needs("extend_attached")
    def test_extend_resizes_the_device_of_an_attached_volume(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
            assert volume.extend(self.size + 1) == (self.size + 1) * GIB
            self._check(device, pattern, size=self.size + 1)
            self._write(device, self.size + 1)
            assert volume.status == "in-use"

    @needs("extend")
    def test_volume_cannot_shrink(self, backend: Any) -> None:
        volume = backend.create_volume(self.size + 1)
        with pytest.raises(errors.InvalidInput):
            volume.extend(self.size)
        assert volume.extend(self.size + 1) == (self.size + 1) * GIB
        volume.refresh()
        assert (volume.size, volume.status) == (self.size + 1, "available")

    @needs("snapshot", "clone")
    def test_copy_cannot_be_smaller(self, backend: Any) -> None:
        volume = backend.create_volume(self.size + 1)
        snapshot = volume.create_snapshot()
        with pytest.raises(errors.InvalidInput):
            volume.clone(size=self.size)
        with pytest.raises(errors.InvalidInput):
            snapshot.create_volume(size=self.size)
        assert [v.id for v in backend.volumes] == [volume.id]

    # --- connections ---------------------------------------------------------------------------

    def test_repeated_connect_returns_the_same_connection(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        connector = self.connector(backend)
        first, second = volume.connect(connector), volume.connect(connector)
        assert first.id == second.id
        assert set(first.connection_info["conn"]) >= {"driver_volume_type", "data"}
        volume.disconnect(first)
        volume.disconnect(second)
        assert volume.connections == []
        assert (volume.status, volume.attach_status) == ("available", "detached")

    def test_connected_volume_is_not_deleted(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        connection = volume.connect(self.connector(backend))
        with pytest.raises(errors.InvalidVolume):
            volume.delete()
        volume.disconnect(connection)
        volume.delete()

    @pytest.mark.parametrize("connector", [{}, None, "host", {"host": ""}])
    def test_connector_without_a_host_is_refused(self, backend: Any, connector: Any) -> None:
        volume = backend.create_volume(self.size)
        with pytest.raises(errors.InvalidInput):
            volume.connect(connector)
        assert volume.connections == []

    def test_second_host_is_refused_without_multiattach(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        volume.connect(self.connector(backend))
        with pytest.raises((errors.InvalidVolume, errors.InvalidConnector)):
            volume.connect(self._other_host(backend))
        assert len(volume.connections) == 1

    @needs("live_migration")
    @pytest.mark.parametrize("disconnected", ["source", "destination"])
    def test_volume_migrates_to_a_second_host(self, backend: Any, disconnected: str) -> None:
        volume = backend.create_volume(self.size)
        source = volume.connect(self.connector(backend))
        destination = volume.connect(self._other_host(backend), migrating=True)
        assert source.id != destination.id
        first, second = (source, destination) if disconnected == "source" else (destination, source)
        volume.disconnect(first)
        assert [c.id for c in volume.connections] == [second.id]
        assert volume.status == "in-use"
        # The other host is still mapped, and can be disconnected as usual.
        again = volume.connect(second.connector_info)
        assert (again.id, again.changed) == (second.id, False)
        volume.disconnect(second)
        assert (volume.status, volume.connections) == ("available", [])

    @needs("multiattach")
    def test_disconnect_of_one_host_does_not_affect_the_other(self, backend: Any) -> None:
        volume = backend.create_volume(self.size, multiattach=True)
        first, second = (
            volume.connect(self.connector(backend)),
            volume.connect(self._other_host(backend)),
        )
        assert first.id != second.id
        volume.disconnect(first)
        assert [c.id for c in volume.connections] == [second.id]
        assert volume.status == "in-use"
        volume.disconnect(second)
        assert volume.status == "available"

    # --- internal ------------------------------------------------------------------------------

    def _other_host(self, backend: Any) -> dict[str, Any]:
        other = {
            "host": "conformance-other-host",
            "ip": "192.0.2.2",
            "initiator": "iqn.1994-05.com.example:other",
            "nqn": "nqn.2014-08.org.nvmexpress:uuid:6a9b7d4e-1b1c-4b3e-8f58-4f6d8a1c0b0b",
            "wwpns": ["50014380186af83d"],
            "wwnns": ["50014380186af83c"],
        }
        own = self.connector(backend)
        return {**own, **{key: value for key, value in other.items() if key in own}}

    @contextlib.contextmanager
    def _attached(self, volume: Any) -> Iterator[Device | None]:
        """Attach the volume here. If that is impossible, only map it to this host."""
        if "attach" in self.supports:
            with volume.attached() as attachment:
                yield Device(attachment.path)
        else:
            connection = volume.connect(self.connector(volume.backend))
            yield None
            volume.disconnect(connection)

    def _write(self, device: Device | None, size: int | None = None) -> Pattern:
        pattern = Pattern((size or self.size) * GIB)
        if device is not None:
            pattern.write(device)
            assert pattern.digest_of(device) == pattern.digest
        return pattern

    def _check(self, device: Device | None, pattern: Pattern, *, size: int | None = None) -> None:
        if device is not None:
            assert size is None or device.size == size * GIB
            assert pattern.digest_of(device) == pattern.digest


def _needs(request: pytest.FixtureRequest) -> frozenset[str]:
    return getattr(request.function, "needs", frozenset())


def _remove_all(controller: Any) -> None:
    """Remove all resources with the public API, copies before their sources."""
    for volume in reversed(list(controller.volumes())):
        volume.cleanup()
        for connection in volume.connections:
            volume.disconnect(connection)
        for snapshot in reversed(volume.snapshots):
            snapshot.delete()
        volume.delete()
