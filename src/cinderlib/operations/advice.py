"""What to do about resources whose last operation failed, and about connections that a failover
left behind."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from cinderlib import errors
from cinderlib.drivers.port_values import DriverInfo
from cinderlib.operations import replication
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Store
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    ConnectionRecord,
    GroupRecord,
    GroupSnapshotRecord,
    SnapshotRecord,
    VolumeRecord,
)

#: Advice for a failure, by the status of the resource.
_BY_STATUS = {
    "error": "create or revert it again, or delete it",
    "error_deleting": "delete it again",
    "error_managing": "manage it again with its ID and reference, or unmanage it",
    "error_extending": "extend it again; until then its size on the storage is not known",
    "error_retyping": "retype it again; until then the storage has its old or its new specs",
    "error_attaching": "connect the same host again, or disconnect it",
    "error_detaching": "disconnect it again",
}
#: The same for groups and group snapshots.
_OF_GROUPS = {
    "error": "delete it, and create it again",
    "error_deleting": "delete it again",
    "error_updating": "repeat the last change",
}


class Failed(NamedTuple):
    """A failure and its advice.

    :ivar kind: of the resource.
    :ivar name: of the resource.
    """

    kind: str
    id: str
    name: str
    detail: str


def of(record: VolumeRecord | SnapshotRecord | ConnectionRecord) -> str:
    """The status of a resource whose last operation failed, and the advice."""
    status = record.status
    advice = _BY_STATUS.get(status, "delete it, or bring it in order")
    if isinstance(record, VolumeRecord):
        if record.replication_extended_status == replication.NO_REPLICA:
            advice = (
                "its backend has failed over, and it has no replica. Its data is on the storage"
                f" before the failover: `cinderlib backend failback {record.backend}`"
            )
        elif record.replication_status == replication.FAILOVER_ERROR:
            advice = (
                "the driver could not fail it over. Its data is on the storage before the"
                f" failover: `cinderlib backend failback {record.backend}`"
            )
        elif status == "error" and record.managed_from is not None:
            advice = _BY_STATUS["error_managing"]
    return f"it is '{status}': {advice}"


def of_missing(
    record: VolumeRecord | SnapshotRecord, volume: VolumeRecord | None, info: DriverInfo
) -> str:
    """What to do about a resource that the storage after a failover does not have; empty if its
    volume has not failed over. Its record is needed after the failback.

    :param volume: to which it belongs.
    :param info: of the volume's backend.
    """
    if info.active_backend_id is not None:
        failback = f"backend failback {record.backend}"
    elif volume is not None and replication.storage_of(None, volume) is not None:
        failback = f"group failback {volume.group_id}"
    else:
        return ""
    return (
        f"it is '{record.status}', and the storage after the failover does not have it. It can be"
        f" on the storage before the failover: `cinderlib {failback}`"
    )


def left_behind(connection: ConnectionRecord, volume: VolumeRecord, info: DriverInfo) -> str:
    """What to do about a connection to the storage that its volume had before a failover; empty if
    it leads to the storage that has the volume.

    :param info: of the volume's backend.
    """
    if not replication.is_left_behind(connection, volume, info.active_backend_id):
        return ""
    return (
        f"{host_of(connection)} uses the storage that the volume had before a failover or failback,"
        " where writes are lost: detach it there, disconnect it, and connect it again"
    )


def of_groups(store: Store, backend: str) -> Iterator[Failed]:
    """The groups and group snapshots of a backend whose last operation failed. A store that cannot
    list them has none."""
    with contextlib.suppress(errors.Unsupported):
        groups = in_key_values.scan(store, GroupRecord)
        for each in itertools.chain(groups, in_key_values.scan(store, GroupSnapshotRecord)):
            if isinstance(each, errors.DamagedRecord) or each.backend != backend:
                continue
            if detail := _of_group(each):
                yield Failed(each.kind, each.id, each.name, detail)


def _of_group(group: GroupRecord | GroupSnapshotRecord) -> str:
    if group.status.startswith("error"):
        return f"it is '{group.status}': {_OF_GROUPS.get(group.status, 'delete it')}"
    if isinstance(group, GroupRecord) and group.replication_status == "error":
        return "its replication is 'error': enable, disable or fail it over again"
    return ""


def of_backend(store: Store, backend: str, info: DriverInfo) -> str:
    """What to do about a failover of a backend that failed; empty if none did."""
    if not info.replication_targets:
        return ""
    if replication.find(store, backend).status != replication.FAILOVER_ERROR:
        return ""
    return (
        f"its failover failed: repeat `cinderlib backend failover {backend}`, or end it with"
        f" `cinderlib backend failback {backend}`"
    )
