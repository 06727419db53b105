"""The records of groups and group snapshots. A store keeps each as a key-value; see
:mod:`cinderlib.persistence.in_key_values`."""

from __future__ import annotations

from typing import ClassVar

from cinderlib.records.base import Record

_LONGEST_NAME = 255


class GroupRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """A group of volumes of one backend.

    :ivar host: as for a volume; that of the first volume of the group.
    :ivar status: ``'creating'``, ``'available'``, ``'updating'``, ``'deleting'``, ``'error'`` (its
        creation failed), ``'error_updating'`` or ``'error_deleting'``.
    :ivar volume_ids: its volumes. Each has the group's ID in its ``group_id``.
    :ivar snapshot_ids: its group snapshots.
    :ivar native: whether the driver has created the group on the storage. Otherwise only the store
        knows it.
    :ivar group_snapshot_id: the group snapshot from which it was created.
    :ivar source_group_id: the cloned group, if it is a clone.
    :ivar group_specs: the specs that drivers see, as in Cinder's group types; without any, a group
        requires consistent snapshots.
    :ivar replication_status: ``'disabled'``, ``'enabling'``, ``'enabled'``, ``'disabling'``,
        ``'failing-over'``, ``'failed-over'`` or ``'error'``.
    :ivar active_backend_id: the ``backend_id`` of the replication device that the group has failed
        over to; ``None`` for the backend's own storage.
    """

    kind: ClassVar[str] = "group"

    backend: str
    host: str
    name: str = ""
    description: str = ""
    status: str = "creating"
    user_id: str | None = None
    project_id: str | None = None
    volume_ids: tuple[str, ...] = ()
    snapshot_ids: tuple[str, ...] = ()
    native: bool = False
    group_snapshot_id: str | None = None
    source_group_id: str | None = None
    group_specs: dict[str, str] = {}
    replication_status: str = "disabled"
    active_backend_id: str | None = None


class GroupSnapshotRecord(Record, kw_only=True, frozen=True, omit_defaults=True):
    """Snapshots of all volumes of a group.

    :ivar snapshot_ids: its snapshots, in the order of the volumes.
    :ivar volume_ids: the volumes that the group had.
    :ivar consistent: whether the driver took all snapshots at the same moment. Otherwise they were
        taken in sequence.
    """

    kind: ClassVar[str] = "group_snapshot"

    backend: str
    group_id: str
    name: str = ""
    description: str = ""
    status: str = "creating"
    user_id: str | None = None
    project_id: str | None = None
    snapshot_ids: tuple[str, ...] = ()
    volume_ids: tuple[str, ...] = ()
    consistent: bool = False


def name_of_copy(group: str, volume: str) -> str:
    """The name of the copy of a volume in a new group.

    :param group: the name of the new group.
    :param volume: the name of the volume.
    """
    return "-".join(filter(None, (group, volume)))[:_LONGEST_NAME]


#: The kinds that are stored in key-values.
GROUP_KINDS: tuple[type[GroupRecord | GroupSnapshotRecord], ...] = (
    GroupRecord,
    GroupSnapshotRecord,
)
