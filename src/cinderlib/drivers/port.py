"""The boundary to a driver: what the rooms above may ask, in plain records and values.

Nothing here imports cinder, and no Cinder object and no driver object crosses this line, so that a
driver can run in this process (:mod:`cinderlib.drivers.host`) or, one day, in one of its own. Each
method is one call of the driver; the order in which they are made, what is stored between them and
what is undone when one fails is :mod:`cinderlib.operations`'s business.

Every method raises :class:`cinderlib.errors.DriverError` when the driver fails (with the driver's
exception as ``__cause__``, unless a secret is in its text), :class:`cinderlib.errors.Unsupported`
when it cannot do such a thing, :class:`cinderlib.errors.InvalidConnector` when it refuses a
connector, and :class:`cinderlib.errors.InvalidState` when the volume or snapshot is in use. After
the last three nothing on the storage has changed.

A method that returns a record returns the one it was given with what the driver changed folded in
(``provider_*``, metadata, ...). What the driver wrote on its own through Cinder's database
interface while the call ran is in the store already, and in the returned record, whose ``version``
is then the store's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord


@dataclasses.dataclass(frozen=True, slots=True)
class DriverInfo:
    """Information about a loaded driver.

    :ivar driver: full path of its class.
    :ivar version: as the driver gives it.
    :ivar options: the options that were given, brought to their types, secret ones left out.
    :ivar secrets: the secret ones.
    :ivar multipath: whether attachments made by this host for this backend use multipath.
    :ivar enforce_multipath: whether such an attachment fails when multipathd does not run.
    :ivar scan_attempts: how often a host checks for a new device.
    :ivar live_migration: whether a volume that is not multiattach may be connected to a second host
        although the caller does not say that it migrates.
    :ivar host_limited: whether what the driver exports can be used by this host alone.
    :ivar keeps_newer_snapshots: whether a volume that is reverted to a snapshot is known to keep
        the snapshots taken after that one.
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


@dataclasses.dataclass(frozen=True, slots=True)
class InStorage:
    """A volume or snapshot that the storage has under a name that follows from an id.

    :ivar kind: ``'volume'`` or ``'snapshot'``.
    :ivar name: on the storage.
    :ivar size: in GiB, if the driver reports it.
    :ivar volume_id: of a snapshot's volume, if the driver reports it.
    """

    kind: str
    id: str
    name: str
    size: int | None = None
    volume_id: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """What the storage has.

    :ivar found: one for each id.
    :ivar kinds: of which all are in it: the driver is known to list them without exception.
    """

    found: tuple[InStorage, ...]
    kinds: frozenset[str]


class Driver(Protocol):
    """One loaded driver: one backend."""

    @property
    def info(self) -> DriverInfo: ...

    # Volumes and snapshots. The record given is in the store already, with status 'creating'.
    def create_volume(self, volume: VolumeRecord) -> VolumeRecord: ...

    def create_volume_from_snapshot(
        self, volume: VolumeRecord, snapshot: SnapshotRecord
    ) -> VolumeRecord: ...

    def create_cloned_volume(self, volume: VolumeRecord, source: VolumeRecord) -> VolumeRecord: ...

    def delete_volume(self, volume: VolumeRecord) -> None:
        """Also succeeds when the storage does not have the volume any more."""

    def extend_volume(self, volume: VolumeRecord, new_size: int) -> VolumeRecord:
        """:param new_size: in GiB. The size in the returned record is the new one."""

    def extends_connected(self, volume: VolumeRecord) -> bool:
        """Whether a volume can be extended while hosts are connected: unless its pool reports that
        it cannot."""

    def create_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> SnapshotRecord: ...

    def delete_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None: ...

    def revert_to_snapshot(
        self, volume: VolumeRecord, snapshot: SnapshotRecord
    ) -> VolumeRecord: ...

    # Connections.
    def validate_connector(self, connector: Mapping[str, Any]) -> None: ...

    def create_export(self, volume: VolumeRecord, connector: Mapping[str, Any]) -> VolumeRecord: ...

    def ensure_export(self, volume: VolumeRecord) -> VolumeRecord:
        """Make an export again that the storage lost; one that is there stays."""

    def initialize_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord
    ) -> dict[str, Any]:
        """:returns: ``{'driver_volume_type': ..., 'data': {...}}`` with ``access_mode``, QoS and
        the like added to the data, as Cinder's manager does. After an error nothing is mapped, as
        far as the driver knows; after :class:`cinderlib.errors.DriverTimeout` it may be."""

    def terminate_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord, *, force: bool = False
    ) -> bool:
        """:returns: whether the host has other volumes through the same target, so that its
        session has to stay."""

    def remove_export(self, volume: VolumeRecord) -> VolumeRecord: ...

    # The backend as a whole.
    def stats(self, *, refresh: bool = False) -> dict[str, Any]:
        """Capabilities and capacity, always with a ``pools`` list."""

    def size_limit(self, volume: VolumeRecord, size: int) -> int | None:
        """The capacity of a volume's pool in GiB, with over-subscription: no volume can be larger.
        ``None`` if the pool does not report it.

        :param size: in GiB. If the pool was too small for it when last asked, it is asked again.
        """

    def listing(
        self, volumes: Sequence[VolumeRecord], snapshots: Sequence[SnapshotRecord]
    ) -> Listing:
        """What the storage has: of these records, and of others whose names follow from an id as
        theirs do."""

    def leftovers(self, *, remove: bool = False) -> list[str]:
        """What killed processes left half done on the storage, by name, and nobody needs; empty
        for drivers that keep no account of it.

        :param remove: whether it is removed.
        """

    def exists(self, volume: VolumeRecord) -> bool | None:
        """Whether the storage has the volume; ``None`` if the driver cannot tell. ``False`` is
        only for drivers that are known to find everything."""

    def snapshot_exists(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> bool | None: ...

    def name_in_storage(self, record: VolumeRecord | SnapshotRecord) -> str: ...

    def attribute(self, name: str) -> Any:
        """An attribute of the driver by name: a plain value, or a callable for a method.

        :raises AttributeError: the driver has none of that name.
        """

    def close(self) -> None:
        """Stop what the driver started. Nothing on the storage changes."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a controller for its drivers, in addition to a backend's options.

    :ivar host: the name that stands before the ``@`` in a volume's ``host``.
    :ivar state_path: folder for what drivers keep; exists and is private to the owner.
    :ivar lock_path: folder for the locks that drivers take among themselves; shared by all
        processes that use the same storage on this machine.
    :ivar root_helper: the command that runs another as root, without its arguments.
    :ivar cinder_options: options of Cinder that belong to no backend. Process-wide.
    :ivar strict_options: an unknown option is an error, and a logged warning otherwise.
    """

    host: str
    state_path: str
    lock_path: str
    root_helper: str = "sudo"
    project_id: str | None = None
    user_id: str | None = None
    suppress_requests_ssl_warnings: bool = True
    cinder_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    strict_options: bool = True
