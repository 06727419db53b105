"""The state of a backend's replication, and the operations that it does not allow.

The state is read only for backends with a ``replication_device``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cinderlib import errors
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Store
from cinderlib.records import (
    ConnectionRecord,
    GroupRecord,
    IntentRecord,
    Record,
    ReplicationRecord,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

if TYPE_CHECKING:
    from cinderlib.drivers.port_values import DriverInfo

#: The operations on the backend itself.
FAILOVER, FREEZE, THAW = "backend.failover", "backend.freeze", "backend.thaw"
_OF_BACKEND = frozenset({FAILOVER, FREEZE, THAW})

#: The status of a backend while it fails over, and of one whose failover failed.
FAILING_OVER, FAILOVER_ERROR = "failing-over", "failover-error"
#: The replication status of a volume that cannot be replicated.
NOT_CAPABLE = "not-capable"
#: The replication status of a volume that is used on the other storage, and how a connection to it
#: names this storage if only the group of the volume has failed over.
FAILED_OVER, REPLICA = "failed-over", "replica"
#: The extended status of a volume without a replica, on a backend that has failed over.
NO_REPLICA = "no-replica"

#: The group specs that require replication.
GROUP_SPECS = ("consistent_group_replication_enabled", "group_replication_enabled")

#: The texts that Cinder accepts as true.
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})

#: Operations that neither create nor change nor delete volumes and snapshots: connections, and the
#: data and records of volumes.
_ALLOWED_IF_FROZEN = _OF_BACKEND | {
    *("connection.attach", "connection.connect", "connection.detach", "connection.disconnect"),
    *("connection.unmap", "connection.forget", "snapshot.connect", "snapshot.attach"),
    *("snapshot.release", "snapshot.forget", "volume.attach", "volume.connect", "volume.detach"),
    *("volume.forget", "volume.restore_exports", "volume.repair", "volume.apply", "volume.wipe"),
    "group.failover",
}
#: Operations on a volume without a replica that end its use.
_ALLOWED_IF_LOST = frozenset(
    {"connection.detach", "connection.disconnect", "connection.unmap", "connection.forget"}
    | {"volume.detach", "volume.forget", "volume.unmanage", "snapshot.forget", "snapshot.unmanage"}
)


def find(store: Store, backend: str) -> ReplicationRecord:
    """The state of a backend; that of a new one if the store has none."""
    found = in_key_values.find(store, ReplicationRecord, backend)
    return ReplicationRecord(id=backend, backend=backend) if found is None else found


def is_required(volume: VolumeRecord) -> bool:
    """Whether the extra specs of a volume require a replica, as in Cinder."""
    words = volume.extra_specs.get("replication_enabled", "").split()
    return len(words) == 2 and words[0] == "<is>" and words[1].lower() in _TRUE


def is_of_group(group: GroupRecord) -> bool:
    """Whether the specs of a group require replication, as in Cinder."""
    return any(group.group_specs.get(spec) == "<is> True" for spec in GROUP_SPECS)


def is_replicated(volume: VolumeRecord) -> bool:
    """Whether a volume has a replica, or had one before an error."""
    return volume.replication_status not in (None, "", "disabled", NOT_CAPABLE)


def storage_of(active_backend_id: str | None, volume: VolumeRecord) -> str | None:
    """The storage system that has a volume now.

    :param active_backend_id: of the volume's backend.
    :returns: the ``backend_id`` of the replication device if the backend has failed over,
        ``'replica'`` if only the group of the volume has, ``None`` otherwise.
    """
    if active_backend_id is not None:
        return active_backend_id
    return REPLICA if volume.replication_status == FAILED_OVER else None


def is_left_behind(
    connection: ConnectionRecord, volume: VolumeRecord, active_backend_id: str | None
) -> bool:
    """Whether a connection leads to the storage that its volume had before a failover or failback.

    :param active_backend_id: of the volume's backend.
    """
    if connection.status != "attached" or volume.status.startswith("error"):
        return False
    return connection.storage != storage_of(active_backend_id, volume)


def refuse_impossible(info: DriverInfo, volume: VolumeRecord, task: str) -> None:
    """Refuse specs that require replication on a backend that has none.

    :param info: of the volume's backend.
    :param volume: with these specs.
    :param task: as a participle, for the message.
    :raises Unsupported: the backend has none.
    """
    if is_required(volume) and not info.replication_targets:
        raise errors.Unsupported(
            f"Volume {volume.id} was not {task}: its extra specs require replication"
            f" (replication_enabled='<is> True'), and backend {volume.backend!r} has no"
            " replication_device in its configuration",
            resource=volume.id,
        )


def of_new(info: DriverInfo, volume: VolumeRecord) -> VolumeRecord:
    """A new volume with its replication status, which the driver can change.

    :param info: of the volume's backend.
    :raises Unsupported: the volume requires replication, and its backend has none.
    """
    if volume.snapshot_access == "native" or not is_required(volume):
        return volume
    refuse_impossible(info, volume, "created")
    return replace(volume, replication_status=volume.replication_status or "enabled")


def admit(store: Store, info: DriverInfo, intent: IntentRecord, record: Record) -> None:
    """Refuse an operation that the state of the backend does not allow, before any change.

    :param info: of the driver that is loaded for the backend.
    :param intent: of the operation, not stored yet.
    :raises Busy: the backend fails over now, or did so during the call.
    :raises InvalidState: the backend is frozen, or has failed over and the volume has no replica.
    """
    if not info.replication_targets or intent.operation in _OF_BACKEND:
        return
    backend = intent.backend
    state = find(store, backend)
    if state.status == FAILING_OVER:
        raise errors.Busy(
            f"Backend {backend!r} fails over now. Repeat the call afterwards; if the failover was"
            " interrupted, call recover()",
            resource=backend,
        )
    if state.active_backend_id != info.active_backend_id:
        raise errors.Busy(
            f"Backend {backend!r} failed over during the call. Nothing changed; repeat the call",
            resource=backend,
        )
    if state.frozen and intent.operation not in _ALLOWED_IF_FROZEN:
        raise errors.InvalidState(
            f"Backend {backend!r} is frozen, so {intent.operation} is refused. Nothing changed."
            f" Thaw it first: `cinderlib backend thaw {backend}`",
            resource=backend,
        )
    if state.active_backend_id is not None and intent.operation not in _ALLOWED_IF_LOST:
        _refuse_lost(store, state, record)


def _refuse_lost(store: Store, state: ReplicationRecord, record: Record) -> None:
    for volume in _volumes(store, record):
        if volume.replication_extended_status == NO_REPLICA:
            raise errors.InvalidState(
                f"Volume {volume.id} cannot be used: backend {state.backend!r} has failed over to"
                f" {state.active_backend_id!r}, and the volume has no replica there. Fail back"
                f" first: `cinderlib backend failback {state.backend}`",
                resource=volume.id,
            )


def _volumes(store: Store, record: Record) -> Iterator[VolumeRecord]:
    """The volumes whose data an operation on a record needs."""
    ids = []
    if isinstance(record, VolumeRecord):
        yield record
        ids = [record.source_volid]
        if record.status == "creating" and record.snapshot_id is not None:
            snapshot = store.get(SnapshotRecord, record.snapshot_id)
            ids += [] if snapshot is None else [snapshot.volume_id]
    else:
        ids = [getattr(record, "volume_id", None)]
    for id in ids:
        volume = None if id is None else store.get(VolumeRecord, id)
        if volume is not None:
            yield volume
