"""The interface between drivers and the other parts of the library, with plain records and values.

This module does not import cinder, and no Cinder object or driver object crosses the interface.
Therefore a driver can run in this process (:mod:`cinderlib.drivers.host`) or in a separate one
(:mod:`cinderlib.drivers.isolation`). Each method is one call of the driver.
:mod:`cinderlib.operations` determines their order, stores the intermediate states and undoes
earlier steps after a failure.

Every method can raise these errors:

- :class:`cinderlib.errors.DriverError`: the driver failed. Its exception is the ``__cause__``,
  unless its text contains a secret.
- :class:`cinderlib.errors.Unsupported`: the driver does not support the operation.
- :class:`cinderlib.errors.InvalidConnector`: the driver refused the connector.
- :class:`cinderlib.errors.InvalidState`: the volume or snapshot is in use.

After the last three errors, the storage has not changed. If the separate process of a driver ends
during a call, the error is :class:`cinderlib.errors.DriverInterrupted`: the operation is settled
later, as after a crash of this process.

A method that returns a record returns the passed record with the driver's changes
(``provider_*``, metadata, ...). If the driver writes through Cinder's database interface during
the call, these changes are already in the store. The returned record includes them, and its
``version`` is then the store's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cinderlib.drivers.port_groups import GroupingPort
from cinderlib.drivers.port_replication import ReplicatingDriver
from cinderlib.drivers.port_values import DriverInfo, Extents, Listing, Manageable, Page
from cinderlib.records import (
    ConnectionRecord,
    SnapshotRecord,
    TypeSpecs,
    VolumeRecord,
)

#: Method of :class:`Driver` -> its task for error messages, with ``{}`` for the ID of the resource:
#: "backend 'x' could not <task>: ...".
TASKS: Mapping[str, str] = {
    "create_volume": "create volume {}",
    "create_volume_from_snapshot": "create volume {} from a snapshot",
    "create_cloned_volume": "create volume {} as a clone",
    "delete_volume": "delete volume {}",
    "extend_volume": "extend volume {}",
    "create_snapshot": "create snapshot {}",
    "delete_snapshot": "delete snapshot {}",
    "revert_to_snapshot": "revert volume {}",
    "retype": "retype volume {}",
    "manageable_volumes": "list the volumes on its storage",
    "manageable_snapshots": "list the snapshots on its storage",
    "manageable_volume_size": "find an existing volume for volume {}",
    "manage_volume": "manage an existing volume as volume {}",
    "unmanage_volume": "stop managing volume {}",
    "manageable_snapshot_size": "find an existing snapshot for snapshot {}",
    "manage_snapshot": "manage an existing snapshot as snapshot {}",
    "unmanage_snapshot": "stop managing snapshot {}",
    "migrate_volume": "migrate volume {}",
    "update_migrated_volume": "rename the copy of volume {}",
    "create_group": "create group {}",
    "update_group": "change the volumes of group {}",
    "delete_group": "delete group {}",
    "create_group_from_snapshot": "create group {}",
    "create_cloned_group": "create group {}",
    "create_group_snapshot": "create group snapshot {}",
    "delete_group_snapshot": "delete group snapshot {}",
    "failover": "fail over",
    "enable_replication": "enable the replication of group {}",
    "disable_replication": "disable the replication of group {}",
    "failover_replication": "fail over group {}",
    "freeze": "be frozen",
    "thaw": "be thawed",
    "volume_extents": "list the extents of volume {}",
    "snapshot_extents": "list the extents of snapshot {}",
    "validate_connector": "use this connector",
    "create_export": "export volume {}",
    "ensure_export": "restore the export of volume {}",
    "initialize_connection": "connect volume {}",
    "terminate_connection": "disconnect volume {}",
    "remove_export": "remove the export of volume {}",
    "stats": "report its capacity",
    "exists": "find volume {}",
    "snapshot_exists": "find snapshot {}",
    "listing": "list the resources on its storage",
    "leftovers": "find incomplete files",
    "extends_connected": "report its capacity",
    "size_limit": "report its capacity",
    "name_in_storage": "determine the name of {}",
    "attribute": "read an attribute of the driver",
}

#: The methods that never change the storage.
READING = frozenset(
    {
        *("attribute", "exists", "extends_connected", "listing", "name_in_storage", "size_limit"),
        *("snapshot_exists", "stats", "validate_connector", "manageable_volumes"),
        *("manageable_snapshots", "manageable_volume_size", "manageable_snapshot_size"),
        *("volume_extents", "snapshot_extents"),
    }
)


class Driver(GroupingPort, ReplicatingDriver, Protocol):
    """One loaded driver: one backend."""

    @property
    def info(self) -> DriverInfo: ...

    # Volumes and snapshots. A new record is already in the store, with status 'creating'.
    def create_volume(self, volume: VolumeRecord) -> VolumeRecord: ...

    def create_volume_from_snapshot(
        self, volume: VolumeRecord, snapshot: SnapshotRecord
    ) -> VolumeRecord: ...

    def create_cloned_volume(self, volume: VolumeRecord, source: VolumeRecord) -> VolumeRecord: ...

    def delete_volume(self, volume: VolumeRecord) -> None:
        """Also succeeds if the volume does not exist on the storage any more."""

    def extend_volume(self, volume: VolumeRecord, new_size: int) -> VolumeRecord:
        """:param new_size: size in GiB.
        :returns: the record with the new size."""

    def extends_connected(self, volume: VolumeRecord) -> bool:
        """Whether a volume can be extended while hosts are connected. ``False`` only if its pool
        reports that it cannot."""

    def create_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> SnapshotRecord: ...

    def delete_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None: ...

    def revert_to_snapshot(
        self, volume: VolumeRecord, snapshot: SnapshotRecord
    ) -> VolumeRecord: ...

    def retype(self, volume: VolumeRecord, target: TypeSpecs) -> VolumeRecord | None:
        """Give a volume, whose record has the old specs, those of ``target``.

        :returns: the record with the new specs; ``None`` if the driver does not do it for this
            volume. Then it has not changed."""

    # Existing volumes and snapshots. Each can also raise InvalidInput: the reference is not valid.
    def manageable_volumes(self, known: Sequence[VolumeRecord], page: Page) -> list[Manageable]: ...

    def manageable_snapshots(
        self, known: Sequence[SnapshotRecord], page: Page
    ) -> list[Manageable]: ...

    def manageable_volume_size(self, volume: VolumeRecord, reference: Mapping[str, Any]) -> int:
        """The size in GiB of an existing volume that could become this one.

        :raises InvalidInput: the reference does not identify a volume.
        :raises InvalidVolume: the volume already has another record."""

    def manage_volume(self, volume: VolumeRecord, reference: Mapping[str, Any]) -> VolumeRecord:
        """Adopt an existing volume as this one. Most drivers rename it; its data stays."""

    def unmanage_volume(self, volume: VolumeRecord) -> None:
        """Remove what the driver added to a volume, and keep the data. Also succeeds if the driver
        does not find the volume."""

    def manageable_snapshot_size(
        self, snapshot: SnapshotRecord, volume: VolumeRecord, reference: Mapping[str, Any]
    ) -> int: ...

    def manage_snapshot(
        self, snapshot: SnapshotRecord, volume: VolumeRecord, reference: Mapping[str, Any]
    ) -> SnapshotRecord: ...

    def unmanage_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None: ...

    # Migration.
    def migrate_volume(
        self, volume: VolumeRecord, host: str, capabilities: Mapping[str, Any]
    ) -> VolumeRecord | None:
        """Move the volume to another pool, of this backend or another one.

        :param host: of the volume after the move, ``host@backend#pool``.
        :param capabilities: as the driver of that backend reports them for that pool.
        :returns: the record with the driver's changes, with its old ``host`` and ``backend``.
            ``None`` if the driver cannot move it there; nothing changed."""

    def update_migrated_volume(
        self, volume: VolumeRecord, copy: VolumeRecord, status: str
    ) -> VolumeRecord:
        """Give the copy of a migrated volume, on this backend, the volume's name if possible.

        :param volume: the volume with its old place.
        :param copy: the record of the copy.
        :param status: the status of the volume before the migration. Drivers rename only the copy
            of a volume that is ``'available'``.
        :returns: the record of the copy with the driver's changes. Its ``name_id`` is that of the
            copy, or ``None`` if the name of the volume is derived from the volume's ID now."""

    # What changed. Only for drivers that can list extents natively.
    def volume_extents(
        self, volume: VolumeRecord, since: SnapshotRecord | None, offset: int
    ) -> Extents:
        """The extents of a volume, or those that were written after a snapshot of it.

        Without ``since``, the extents cover the whole range. With it, other bytes are as in that
        snapshot.

        :param offset: of the first byte. The driver determines how far the answer reaches."""

    def snapshot_extents(
        self,
        snapshot: SnapshotRecord,
        volume: VolumeRecord,
        since: SnapshotRecord | None,
        offset: int,
    ) -> Extents:
        """The same for a snapshot. ``since`` is an older snapshot of the same volume."""

    # Connections.
    def validate_connector(self, connector: Mapping[str, Any]) -> None: ...

    def create_export(self, volume: VolumeRecord, connector: Mapping[str, Any]) -> VolumeRecord: ...

    def ensure_export(self, volume: VolumeRecord) -> VolumeRecord:
        """Restore an export that the storage has lost; an existing export does not change."""

    def initialize_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord
    ) -> dict[str, Any]:
        """Map the volume to the host of a connection. After an error, the volume is not mapped, as
        far as the driver knows; after :class:`cinderlib.errors.DriverTimeout`, it may be mapped.

        :returns: the connection information ``{'driver_volume_type': ..., 'data': {...}}``. As in
            Cinder's manager, the data include ``access_mode``, QoS and block sizes."""

    def terminate_connection(
        self, volume: VolumeRecord, connection: ConnectionRecord, *, force: bool = False
    ) -> bool:
        """Unmap the volume.

        :returns: whether the host uses other volumes of the same target, so that its session must
            remain."""

    def remove_export(self, volume: VolumeRecord) -> VolumeRecord: ...

    # The backend as a whole.
    def stats(self, *, refresh: bool = False) -> dict[str, Any]:
        """Capabilities and capacity, always with a list of ``pools``."""

    def size_limit(self, volume: VolumeRecord, size: int) -> int | None:
        """The largest possible size of a volume in GiB: the capacity of the pool, including
        over-subscription. ``None`` if the pool does not report a capacity.

        :param size: requested size in GiB. If the last reported capacity is smaller, the driver
            queries it again.
        """

    def listing(
        self, volumes: Sequence[VolumeRecord], snapshots: Sequence[SnapshotRecord]
    ) -> Listing:
        """The resources on the storage that belong to these records, and others whose names contain
        an ID in the same format."""

    def leftovers(self, *, remove: bool = False) -> list[str]:
        """Names of incomplete files that killed processes left on the storage. Empty for drivers
        that do not track them.

        :param remove: whether to remove them.
        """

    def exists(self, volume: VolumeRecord) -> bool | None:
        """Whether the volume exists on the storage; ``None`` if that is unknown. Only drivers that
        are known to list all volumes return ``False``."""

    def snapshot_exists(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> bool | None: ...

    def name_in_storage(self, record: VolumeRecord | SnapshotRecord) -> str: ...

    def attribute(self, name: str) -> Any:
        """An attribute of the driver by name: a plain value, or a callable for a method.

        :raises AttributeError: the driver does not have the attribute.
        """

    def close(self) -> None:
        """Release the driver. The storage does not change."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a controller for its drivers, in addition to a backend's options.

    :ivar host: the name before the ``@`` in a volume's ``host``.
    :ivar state_path: existing folder for the drivers' files, private to its owner.
    :ivar lock_path: folder for the locks between drivers, shared by all processes on this host that
        use the same storage.
    :ivar root_helper: the command that runs another command as root.
    :ivar cinder_options: process-wide options of Cinder that do not belong to a backend.
    :ivar strict_options: whether an unknown option is an error; otherwise it is a logged warning.
    :ivar only_fails_over: whether the driver is loaded to fail over, for which a driver whose
        storage failed during the setup is enough.
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
    only_fails_over: bool = False
