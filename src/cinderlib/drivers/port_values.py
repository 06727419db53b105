"""The values that drivers and the other parts of the library exchange, except records."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

#: The name of an option whose value is the address of the storage.
_NAMES_ADDRESS = re.compile(r"^(?!backend_host$).*_(address|host|hostname|ip|url)$")


def address(options: Mapping[str, Any]) -> str:
    """The address of the storage, from the option that each driver has its own name for; empty if
    there is none."""
    named = (value for name, value in options.items() if value and _NAMES_ADDRESS.search(name))
    value = options.get("san_ip") or next(named, "")
    return ", ".join(value) if isinstance(value, list) else str(value)


@dataclasses.dataclass(frozen=True, slots=True)
class DriverInfo:
    """Information about a loaded driver.

    :ivar driver: full path of the driver's class.
    :ivar version: version as reported by the driver.
    :ivar options: the configured options, converted to their types, without secrets.
    :ivar secrets: the options that are secret.
    :ivar multipath: whether attachments on this host use multipath.
    :ivar enforce_multipath: whether an attachment with multipath fails if multipathd does not run.
    :ivar scan_attempts: how often a host scans for a new device, at most.
    :ivar live_migration: whether a volume that is not multiattach can be connected to a second host
        even if the caller does not declare a migration.
    :ivar host_limited: whether only this host can use the driver's exports.
    :ivar keeps_newer_snapshots: whether it is known that a volume that is reverted to a snapshot
        keeps its newer snapshots.
    :ivar uses_name_id: whether it is known that the driver finds the data of a volume by its
        ``name_id``, also if another volume on the array has the volume's ID in its name.
    :ivar active_active: whether several processes can call the driver at the same time.
    :ivar lacks: the optional methods of Cinder's interface that the driver does not implement, with
        the reason as a clause.
    :ivar replication_targets: the ``backend_id`` of each ``replication_device``.
    :ivar active_backend_id: that of the device that the driver uses; ``None`` for the backend's own
        storage.
    """

    driver: str
    version: str
    supported: bool
    options: Mapping[str, Any]
    secrets: Mapping[str, Any] = dataclasses.field(repr=False)
    multipath: bool
    enforce_multipath: bool
    scan_attempts: int
    live_migration: bool = False
    host_limited: bool = False
    keeps_newer_snapshots: bool = False
    uses_name_id: bool = False
    active_active: bool = False
    lacks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    replication_targets: tuple[str, ...] = ()
    active_backend_id: str | None = None

    @property
    def address(self) -> str:
        """The address of the storage; empty if no option has it."""
        return address(self.options)


@dataclasses.dataclass(frozen=True, slots=True)
class Lacks:
    """Requirements of a driver that are missing on this host.

    :ivar packages: Python packages, by the names that pip or the distribution uses.
    :ivar commands: programs.
    """

    packages: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """A description of each."""
        packages = [f"Python package {name}" for name in self.packages]
        return packages + [f"command {name}" for name in self.commands]


@dataclasses.dataclass(frozen=True, slots=True)
class InStorage:
    """A volume or snapshot on the storage whose name contains an ID.

    :ivar kind: ``'volume'`` or ``'snapshot'``.
    :ivar name: name on the storage.
    :ivar size: size in GiB, if the driver reports it.
    :ivar volume_id: ID of a snapshot's volume, if the driver reports it.
    """

    kind: str
    id: str
    name: str
    size: int | None = None
    volume_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """The volumes and snapshots on the storage.

    :ivar found: the resources, one for each ID.
    :ivar kinds: the kinds of resources that the driver is known to list completely.
    """

    found: tuple[InStorage, ...]
    kinds: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Manageable:
    """A volume or snapshot on the storage, which cinderlib manages or could manage.

    :ivar kind: ``'volume'`` or ``'snapshot'``.
    :ivar reference: identifies it for the driver: the argument of ``manage_volume`` or
        ``manage_snapshot``.
    :ivar size: size in GiB, rounded up, if the driver reports it.
    :ivar safe_to_manage: whether the driver reports that it can be managed.
    :ivar reason_not_safe: why not.
    :ivar resource_id: its ID, if the store has a record of it.
    :ivar source_reference: for a snapshot, the reference of the volume, if the driver reports it.
    :ivar extra_info: further information from the driver.
    """

    kind: str
    reference: Mapping[str, Any]
    size: int | None = None
    safe_to_manage: bool = True
    reason_not_safe: str = ""
    resource_id: str | None = None
    source_reference: Mapping[str, Any] | None = None
    extra_info: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """The part of a listing to return, in the terms of Cinder's drivers.

    :ivar marker: the reference of the last entry of the previous page.
    :ivar limit: maximum number of entries.
    :ivar offset: number of entries to skip after the marker.
    :ivar sort_keys: ``'reference'`` and ``'size'``.
    :ivar sort_dirs: ``'asc'`` or ``'desc'`` for each key.
    """

    marker: Mapping[str, Any] | None
    limit: int
    offset: int
    sort_keys: tuple[str, ...]
    sort_dirs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Extent:
    """A range of bytes of a volume or snapshot.

    :ivar offset: its first byte.
    :ivar length: its number of bytes.
    :ivar kind: ``'data'``, or ``'zero'`` if all bytes are zero.
    """

    offset: int
    length: int
    kind: str


@dataclasses.dataclass(frozen=True, slots=True)
class Extents:
    """A part of the extents of a volume or snapshot, in the order of their offsets.

    :ivar end: the first byte after this part; the next part begins there.
    """

    found: tuple[Extent, ...]
    end: int


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A backend that a new volume can be placed on.

    :ivar host: ``host@backend``.
    :ivar stats: as the driver reported them; a newer report is another object.
    """

    backend: str
    host: str
    stats: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """The properties of a new volume that decide where it can be placed.

    :ivar size: in GiB.
    """

    size: int
    extra_specs: Mapping[str, str]
    qos_specs: Mapping[str, str]
    multiattach: bool = False
