"""Whether a driver does on real storage what this library promises of it.

The suite uses the public API alone, and pytest. A driver's author writes one short class::

    from cinderlib.testing import DriverConformance

    class TestMyDriver(DriverConformance):
        supports = frozenset({"attach", "block_device", "snapshot", "clone", "extend"})

        def backend_options(self, tmp_path):
            return {"volume_driver": "my_package.MyDriver", "san_ip": "192.0.2.1"}

and says with :attr:`~DriverConformance.supports` what it can do; tests that need more are skipped.
Each test gets a controller and a backend of its own, removes what it made, and fails when anything
of it is left.
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

#: What a driver may or may not be able to do.
CAPABILITIES: Mapping[str, str] = {
    "attach": "volumes can be attached to the host that runs the tests",
    "block_device": "what is attached is a block device",
    "read_only": "what is attached with mode 'ro' cannot be written to",
    "snapshot": "takes snapshots, and makes volumes of them",
    "snapshot_attached": "takes snapshots of volumes that are attached",
    "clone": "clones volumes",
    "independent_copies": "deletes snapshots and volumes while volumes made of them live on",
    "list": "lists the volumes, and the snapshots if it takes any, that are on its storage",
    "extend": "grows volumes",
    "extend_attached": "grows volumes that are attached, and their device",
    "revert": "reverts volumes to snapshots",
    "live_migration": "maps a volume for a second host during a live migration",
    "multiattach": "maps a volume for several hosts at once",
    "thin": "new volumes take no space",
}

F = TypeVar("F", bound=Callable[..., Any])


def needs(*capabilities: str) -> Callable[[F], F]:
    """Mark a test of the suite with the capabilities without which it has no meaning."""

    def mark(test: F) -> F:
        test.needs = frozenset(capabilities)  # type: ignore[attr-defined]
        return test

    return mark


class DriverConformance:
    """The suite. A subclass has to give :meth:`backend_options` and :attr:`supports`."""

    #: The capabilities that the driver has, out of :data:`CAPABILITIES`.
    supports: ClassVar[frozenset[str]] = frozenset()
    #: Size in GiB of the volumes that the tests make; what the driver takes as the smallest.
    size: ClassVar[int] = 1

    def backend_options(self, tmp_path: Path) -> dict[str, Any]:
        """The options that load the driver, ``volume_driver`` among them.

        :param tmp_path: a folder of the test's own.
        """
        raise NotImplementedError

    def leftovers(self, tmp_path: Path) -> Collection[str]:
        """Names of all that the driver has on its storage and of all devices that this host made
        of it. It must be the same after each test as before; the default looks nowhere."""
        return ()

    def connector(self, backend: Any) -> dict[str, Any]:
        """What this host tells the driver of itself."""
        return dict(backend.controller.local_connector(backend))

    # --- what the tests get --------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _capable(self, request: pytest.FixtureRequest) -> None:
        unknown = self.supports - CAPABILITIES.keys()
        assert not unknown, f"{type(self).__name__} supports what the suite does not know"
        missing: frozenset[str] = getattr(request.function, "needs", frozenset()) - self.supports
        if missing:
            told = "; ".join(f"{name} ({CAPABILITIES[name]})" for name in sorted(missing))
            pytest.skip(f"the driver does not support {told}")

    @pytest.fixture
    def controller(self, tmp_path: Path, _capable: None) -> Iterator[Any]:
        database = {"storage": "db", "connection": f"sqlite:///{tmp_path}/conformance.sqlite"}
        with cinderlib.Controller(persistence_config=database) as controller:
            yield controller

    @pytest.fixture
    def backend(self, controller: Any, tmp_path: Path) -> Iterator[Any]:
        """The driver, loaded; at the end nothing that the test made may be left."""
        before = sorted(self.leftovers(tmp_path))
        backend = controller.backend("conformance", **self.backend_options(tmp_path))
        yield backend
        _remove_all(controller)
        assert list(controller.volumes()) == []
        assert sorted(self.leftovers(tmp_path)) == before

    # --- the backend ---------------------------------------------------------------------------

    def test_stats_have_pools_with_capacity(self, backend: Any) -> None:
        stats = backend.stats(refresh=True)
        names = [pool["pool_name"] for pool in stats["pools"]]
        assert names
        assert list(backend.pool_names) == names
        for pool in stats["pools"]:
            assert {"total_capacity_gb", "free_capacity_gb", "reserved_percentage"} <= pool.keys()

    @needs("thin")
    def test_thin_driver_says_so(self, backend: Any) -> None:
        pools = backend.stats(refresh=True)["pools"]
        assert all(pool["thin_provisioning_support"] for pool in pools)
        assert all(float(pool["max_over_subscription_ratio"]) >= 1 for pool in pools)

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

    def test_specs_of_a_volume_are_kept(self, controller: Any, backend: Any) -> None:
        specs = {"extra_specs": {"suite:tier": "gold"}, "qos_specs": {"maxIOPS": "1000"}}
        volume = backend.create_volume(self.size, **specs)
        found = controller.volume(volume.id)
        assert found.extra_specs == {"suite:tier": "gold"}
        assert found.qos_specs == {"maxIOPS": "1000"}

    def test_name_in_storage_is_one_of_its_own(self, backend: Any) -> None:
        names = {backend.create_volume(self.size).name_in_storage for _ in range(2)}
        assert len(names) == 2
        assert all(names)

    def test_create_and_delete_asked_twice_are_done_once(self, backend: Any) -> None:
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
    def test_size_that_is_none_is_refused(self, backend: Any, size: Any) -> None:
        with pytest.raises(errors.InvalidInput):
            backend.create_volume(size)
        assert list(backend.volumes) == []

    def test_new_controller_goes_on_where_the_old_one_ended(
        self, controller: Any, backend: Any, tmp_path: Path
    ) -> None:
        kept = backend.create_volume(self.size)
        gone = backend.create_volume(self.size)
        database = {"storage": "db", "connection": f"sqlite:///{tmp_path}/conformance.sqlite"}
        with cinderlib.Controller(persistence_config=database) as second:
            second.backend("conformance", **self.backend_options(tmp_path))
            second.volume(gone.id).delete()
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
    def test_what_the_store_has_lost_is_found_on_the_storage(self, backend: Any) -> None:
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
    def test_what_the_storage_has_lost_is_found(self, controller: Any, backend: Any) -> None:
        there, lost = backend.create_volume(self.size), backend.create_volume(self.size)
        record = lost.jsons
        lost.delete()
        controller.load(record, save=True)
        (found,) = backend.reconcile(repair=True)
        assert (found.problem, found.resource_id, found.outcome) == ("missing", lost.id, "found")
        (found,) = backend.reconcile(remove=[lost.id])
        assert found.outcome == "removed"
        assert [volume.id for volume in backend.volumes] == [there.id]

    def test_eight_threads_do_not_disturb_each_other(self, backend: Any) -> None:
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
    def test_attach_asked_twice_gives_the_same_device(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        first, second = volume.attach(), volume.attach()
        assert first.id == second.id
        if isinstance(first.path, str):
            assert first.path == second.path
        assert len(volume.connections) == 1
        volume.detach()
        assert volume.connections == []

    @needs("attach", "read_only")
    def test_attachment_that_is_read_only_refuses_writes(self, backend: Any) -> None:
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
    def test_two_volumes_are_attached_at_once(self, backend: Any) -> None:
        one, two = backend.create_volume(self.size), backend.create_volume(self.size)
        with one.attached() as first, two.attached() as second:
            patterns = self._write(Device(first.path)), self._write(Device(second.path))
            self._check(Device(first.path), patterns[0])
            self._check(Device(second.path), patterns[1])

    # --- snapshots and clones ------------------------------------------------------------------

    @needs("snapshot", "attach")
    def test_snapshot_keeps_the_data_of_its_moment(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            old = self._write(Device(attachment.path))
        snapshot = volume.create_snapshot(name="before")
        assert (snapshot.status, snapshot.volume_size) == ("available", self.size)
        with volume.attached() as attachment:
            new = self._write(Device(attachment.path))
        restored = snapshot.create_volume()
        with restored.attached() as attachment:
            self._check(Device(attachment.path), old)
        with volume.attached() as attachment:
            self._check(Device(attachment.path), new)

    @needs("snapshot_attached", "attach")
    def test_snapshot_of_an_attached_volume_has_what_was_written(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            old = self._write(Device(attachment.path))
            snapshot = volume.create_snapshot()
            new = self._write(Device(attachment.path))
            self._check(Device(attachment.path), new)
        with snapshot.create_volume().attached() as attachment:
            self._check(Device(attachment.path), old)

    @needs("snapshot", "attach", "extend")
    def test_volume_from_a_snapshot_can_be_larger(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with self._attached(volume) as device:
            pattern = self._write(device)
        larger = volume.create_snapshot().create_volume(size=self.size + 1)
        with larger.attached() as attachment:
            device = Device(attachment.path)
            assert device.size == (self.size + 1) * GIB
            self._check(device, pattern)

    @needs("clone", "attach")
    def test_clone_has_the_data_and_is_independent(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            pattern = self._write(Device(attachment.path))
        clone = volume.clone(name="copy")
        with clone.attached() as attachment:
            self._check(Device(attachment.path), pattern)
            other = self._write(Device(attachment.path))
        with volume.attached() as attachment:
            self._check(Device(attachment.path), pattern)
        with clone.attached() as attachment:
            self._check(Device(attachment.path), other)

    @needs("clone", "attach", "extend")
    def test_clone_can_be_larger(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            pattern = self._write(Device(attachment.path))
        with volume.clone(size=self.size + 1).attached() as attachment:
            device = Device(attachment.path)
            assert device.size == (self.size + 1) * GIB
            self._check(device, pattern)

    @needs("snapshot")
    def test_snapshot_asked_twice_is_taken_once(self, backend: Any) -> None:
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

    @needs("independent_copies", "snapshot", "clone", "attach")
    def test_copies_outlive_what_they_were_made_of(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            pattern = self._write(Device(attachment.path))
        snapshot = volume.create_snapshot()
        copies = snapshot.create_volume(), volume.clone()
        snapshot.delete()
        volume.delete()
        for copy in copies:
            with copy.attached() as attachment:
                self._check(Device(attachment.path), pattern)

    @needs("revert", "snapshot", "attach")
    def test_revert_gives_the_old_data_back(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            old = self._write(Device(attachment.path))
        snapshot = volume.create_snapshot()
        with volume.attached() as attachment:
            self._write(Device(attachment.path))
        volume.revert_to_snapshot(snapshot)
        with volume.attached() as attachment:
            assert Device(attachment.path).size == self.size * GIB
            self._check(Device(attachment.path), old)

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

    # --- growing -------------------------------------------------------------------------------

    @needs("extend", "attach")
    def test_extend_keeps_the_data(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            pattern = self._write(Device(attachment.path))
        assert volume.extend(self.size + 1) == (self.size + 1) * GIB
        assert volume.size == self.size + 1
        with volume.attached() as attachment:
            device = Device(attachment.path)
            assert device.size == (self.size + 1) * GIB
            self._check(device, pattern)

    @needs("extend_attached", "attach")
    def test_extend_grows_the_device_of_an_attached_volume(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        with volume.attached() as attachment:
            pattern = self._write(Device(attachment.path))
            assert volume.extend(self.size + 1) == (self.size + 1) * GIB
            device = Device(attachment.path)
            assert device.size == (self.size + 1) * GIB
            self._check(device, pattern)
            self._write(device, self.size + 1)
            assert volume.status == "in-use"

    @needs("extend")
    def test_volume_is_not_made_smaller(self, backend: Any) -> None:
        volume = backend.create_volume(self.size + 1)
        with pytest.raises(errors.InvalidInput):
            volume.extend(self.size)
        assert volume.extend(self.size + 1) == (self.size + 1) * GIB
        volume.refresh()
        assert (volume.size, volume.status) == (self.size + 1, "available")

    @needs("snapshot", "clone")
    def test_copy_is_not_made_smaller(self, backend: Any) -> None:
        volume = backend.create_volume(self.size + 1)
        snapshot = volume.create_snapshot()
        with pytest.raises(errors.InvalidInput):
            volume.clone(size=self.size)
        with pytest.raises(errors.InvalidInput):
            snapshot.create_volume(size=self.size)
        assert [v.id for v in backend.volumes] == [volume.id]

    # --- connections ---------------------------------------------------------------------------

    def test_host_is_connected_once_however_often_it_asks(self, backend: Any) -> None:
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
    def test_connector_of_no_host_is_refused(self, backend: Any, connector: Any) -> None:
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
    @pytest.mark.parametrize("leaves", ["source", "destination"])
    def test_volume_migrates_to_a_second_host(self, backend: Any, leaves: str) -> None:
        volume = backend.create_volume(self.size)
        source = volume.connect(self.connector(backend))
        destination = volume.connect(self._other_host(backend), migrating=True)
        assert source.id != destination.id
        gone, left = (source, destination) if leaves == "source" else (destination, source)
        volume.disconnect(gone)
        assert [c.id for c in volume.connections] == [left.id]
        assert volume.status == "in-use"
        # The host that is left is mapped still, and can go away as usual.
        again = volume.connect(left.connector_info)
        assert (again.id, again.changed) == (left.id, False)
        volume.disconnect(left)
        assert (volume.status, volume.connections) == ("available", [])

    @needs("multiattach")
    def test_host_that_leaves_does_not_touch_the_other(self, backend: Any) -> None:
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

    # --- within --------------------------------------------------------------------------------

    def _other_host(self, backend: Any) -> dict[str, Any]:
        other = {
            "host": "conformance-other-host",
            "ip": "192.0.2.2",
            "initiator": "iqn.1994-05.com.example:other",
            "nqn": "nqn.2014-08.org.nvmexpress:uuid:6a9b7d4e-1b1c-4b3e-8f58-4f6d8a1c0b0b",
            "wwpns": ["50014380186af83d"],
            "wwnns": ["50014380186af83c"],
        }
        mine = self.connector(backend)
        return {**mine, **{key: value for key, value in other.items() if key in mine}}

    @contextlib.contextmanager
    def _attached(self, volume: Any) -> Iterator[Device | None]:
        if "attach" not in self.supports:
            yield None
        else:
            with volume.attached() as attachment:
                yield Device(attachment.path)

    def _write(self, device: Device | None, size: int | None = None) -> Pattern:
        pattern = Pattern((size or self.size) * GIB)
        if device is not None:
            pattern.write(device)
            assert pattern.digest_of(device) == pattern.digest
        return pattern

    def _check(self, device: Device | None, pattern: Pattern) -> None:
        if device is not None:
            assert pattern.digest_of(device) == pattern.digest


def _remove_all(controller: Any) -> None:
    """Through the public API, copies before their sources; a failed test may have left anything."""
    for volume in reversed(list(controller.volumes())):
        volume.cleanup()
        for connection in volume.connections:
            volume.disconnect(connection)
        for snapshot in reversed(volume.snapshots):
            snapshot.delete()
        volume.delete()
