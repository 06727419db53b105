"""What the suite needs of a driver, its fixtures and its steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

import cinderlib
from cinderlib.testing.device import Device, Pattern

GIB = 1 << 30

#: Optional capabilities of a driver. Those in :data:`REPORTED` are read from the backend.
CAPABILITIES: Mapping[str, str] = {
    "attach": "attaches volumes to the host that runs the tests",
    "block_device": "an attached volume is a block device",
    "read_only": "a volume that is attached with mode 'ro' refuses writes",
    "snapshot": "creates snapshots, and volumes from snapshots",
    "snapshot_attached": "creates snapshots of attached volumes",
    "snapshot_access": "maps snapshots to hosts, itself or with a temporary volume",
    "clone": "clones volumes",
    "independent_copies": "deletes a snapshot or volume from which other volumes were created",
    "list": "lists all volumes, and all snapshots if it supports them, on its storage",
    "group_snapshot": "takes snapshots of several volumes at the same moment or in sequence",
    "group_copy": "creates groups from group snapshots, and clones groups",
    "extend": "extends volumes",
    "extend_attached": "extends attached volumes and their device",
    "revert": "reverts volumes to snapshots",
    "revert_by_copy": "can be used to revert volumes by a copy",
    "migrate": "can be used to migrate volumes to another backend",
    "name_id": "finds the data of a migrated volume by Cinder's name_id, as it declares",
    "retype": "gives existing volumes other specs, itself or by a copy",
    "replication": "fails over to another storage system",
    "group_replication": "replicates groups, and fails over each of them",
    "live_migration": "maps a volume to a second host during a live migration",
    "multiattach": "maps a volume to several hosts",
    "thin": "new volumes use no space",
    "list_manageable": "lists the volumes that it can manage",
    "manage": "manages existing volumes",
    "manage_snapshots": "manages existing snapshots",
}

#: Capability -> the operations of :meth:`cinderlib.Backend.capabilities` that it consists of.
REPORTED: Mapping[str, tuple[str, ...]] = {
    "snapshot": ("snapshot.create", "snapshot.delete", "volume.create_from_snapshot"),
    "snapshot_access": ("snapshot.create", "snapshot.delete", "snapshot.attach"),
    "clone": ("volume.clone",),
    "group_snapshot": ("group.create", "group_snapshot.create", "volume.create_from_snapshot"),
    "group_copy": ("group_snapshot.create", "group.create_from_snapshot", "group.clone"),
    "extend": ("volume.extend",),
    "extend_attached": ("volume.extend_connected",),
    "revert": ("volume.revert",),
    "revert_by_copy": ("volume.revert_by_copy",),
    "migrate": ("volume.migrate",),
    "retype": ("volume.retype",),
    "multiattach": ("volume.multiattach",),
    "replication": ("backend.failover",),
    "group_replication": ("group.create", "group.replicate"),
    "list_manageable": ("volume.list_manageable",),
    "manage": ("volume.manage",),
    "manage_snapshots": ("snapshot.manage",),
}

F = TypeVar("F", bound=Callable[..., Any])


def needs(*capabilities: str) -> Callable[[F], F]:
    """Mark a test of the suite with the capabilities that it requires."""

    def mark(test: F) -> F:
        test.needs = frozenset(capabilities)  # type: ignore[attr-defined]
        return test

    return mark


class DriverTests:
    """The base of the groups of tests."""

    #: The capabilities of the driver that it does not report, from :data:`CAPABILITIES`. In a test,
    #: all capabilities.
    supports: frozenset[str] = frozenset()
    #: Capabilities that the driver reports and the tests cannot use, with the reason.
    lacks: ClassVar[Mapping[str, str]] = {}
    #: Extra specs that a retype can give to a volume without specs, and take from it.
    retype_specs: ClassVar[Mapping[str, str]] = {}
    #: Extra specs of a volume with a replica.
    replicated_specs: ClassVar[Mapping[str, str]] = {"replication_enabled": "<is> True"}
    #: Group specs of a replicated group.
    replicated_group_specs: ClassVar[Mapping[str, str]] = {
        "consistent_group_replication_enabled": "<is> True"
    }
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

    # --- steps ---------------------------------------------------------------------------------

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
    for group_snapshot in list(controller.group_snapshots()):
        group_snapshot.delete()
    for group in list(controller.groups()):
        group.delete()
    for volume in reversed(list(controller.volumes())):
        volume.cleanup()
        for connection in volume.connections:
            volume.disconnect(connection)
        for snapshot in reversed(volume.snapshots):
            snapshot.delete()
        volume.delete()
