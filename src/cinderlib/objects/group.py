"""Groups of volumes, and group snapshots."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cinderlib import errors, validation, value_checks
from cinderlib.objects.arguments import check_resource
from cinderlib.objects.group_replication import ReplicatedGroup
from cinderlib.objects.volume import Volume
from cinderlib.records import (
    GroupRecord,
    GroupSnapshotRecord,
    SnapshotRecord,
    VolumeRecord,
    new_id,
    replace,
    to_builtins,
)

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.controller_base import ControllerBase
    from cinderlib.objects.snapshot import Snapshot

R = TypeVar("R", GroupRecord, GroupSnapshotRecord)


class _Grouped(Generic[R]):
    """What groups and group snapshots have in common."""

    #: Whether the last operation through this object changed something; ``None`` before the first.
    changed: bool | None = None
    _record: R

    def __init__(self, controller: ControllerBase, record: R) -> None:
        self._controller = controller
        self._record = record

    @property
    def id(self) -> str:
        """Identifies it in the store."""
        return self._record.id

    @property
    def name(self) -> str:
        """Up to 255 characters, not necessarily unique."""
        return self._record.name

    @property
    def description(self) -> str:
        """Up to 255 characters."""
        return self._record.description

    @property
    def status(self) -> str:
        """``'creating'``, ``'available'``, ``'updating'``, ``'deleting'``, ``'error_updating'`` or
        ``'error_deleting'``."""
        return self._record.status

    @property
    def backend_name(self) -> str:
        """The name of the backend."""
        return self._record.backend

    @property
    def backend(self) -> Backend | str:
        """Its backend; the name if the backend is not loaded."""
        return self._controller.backends.get(self._record.backend, self._record.backend)

    @property
    def created_at(self) -> datetime.datetime | None:
        """When it was created, in UTC."""
        return self._record.created_at

    @property
    def record(self) -> R:
        """The immutable record that was last read from the store or written to it."""
        return self._record

    def to_dict(self) -> dict[str, Any]:
        """Its fields as plain data."""
        return to_builtins(self._record)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.id == other.id and self._controller is other._controller

    def __hash__(self) -> int:
        return hash((type(self), self.id))

    def __repr__(self) -> str:
        return (
            f"<cinderlib.{type(self).__name__} id={self.id!r} name={self.name!r}"
            f" status={self.status!r} backend={self.backend_name!r}>"
        )


class Group(_Grouped[GroupRecord], ReplicatedGroup):
    """A group of volumes of one backend. ``Backend.create_group`` creates it."""

    @property
    def volume_ids(self) -> tuple[str, ...]:
        """The IDs of the volumes."""
        return self._record.volume_ids

    @property
    def volumes(self) -> list[Volume]:
        """Its volumes, read from the store."""
        found = (self._controller.store.get(VolumeRecord, id) for id in self.volume_ids)
        return [self._controller.wrap(each) for each in found if each is not None]

    @property
    def native(self) -> bool:
        """Whether the storage has the group too. Otherwise only the store knows it."""
        return self._record.native

    @property
    def group_snapshot_id(self) -> str | None:
        """The ID of the group snapshot from which it was created."""
        return self._record.group_snapshot_id

    @property
    def source_group_id(self) -> str | None:
        """The ID of the cloned group, if it is a clone."""
        return self._record.source_group_id

    @property
    def snapshots(self) -> list[GroupSnapshot]:
        """Its group snapshots, in the order of creation."""
        records = (
            self._controller._find_group(GroupSnapshotRecord, id)
            for id in self._record.snapshot_ids
        )
        return [GroupSnapshot(self._controller, each) for each in records if each is not None]

    def refresh(self) -> None:
        """Read it from the store again.

        :raises GroupNotFound: it does not exist any more.
        """
        self._record = self._controller.group(self.id)._record

    def add(self, *volumes: Volume) -> None:
        """Add volumes to the group, attached or not. Their data does not change.

        :raises InvalidVolume: a volume is on another backend, in another group, or in a state that
            does not allow it. Nothing changed.
        """
        self._adopt(self._controller._change_group(self.id, add=_ids(volumes)))

    def remove(self, *volumes: Volume) -> None:
        """Remove volumes from the group. Their data does not change.

        :raises InvalidVolume: a volume is in a state that does not allow it. Nothing changed.
        """
        self._adopt(self._controller._change_group(self.id, remove=_ids(volumes)))

    def delete(self, *, volumes: bool = False) -> None:
        """Delete the group. A group that does not exist any more is not an error.

        :param volumes: also delete its volumes **with their data**. By default they stay, without
            a group.
        :raises InvalidGroup: it has group snapshots. Nothing changed.
        :raises InvalidVolume: a volume has snapshots or connections. Nothing changed.
        """
        with_volumes = value_checks.check_flag(volumes, "volumes")
        self.changed = self._controller._delete_group(self.id, with_volumes=with_volumes)
        self._record = replace(self._record, status="deleted")

    def clone(
        self,
        name: str,
        description: str = "",
        *,
        id: str | None = None,
        one_after_another: bool = False,
    ) -> Group:
        """Create another group with clones of all volumes, of the same moment.

        A clone has the properties of the cloned volume, and the name ``<name>-<its name>``.

        :param name: of the new group.
        :param id: as for :meth:`GroupSnapshot.create_group`.
        :param one_after_another: clone the volumes in sequence if the driver cannot clone them at
            the same moment.
        :returns: the new group.
        :raises Unsupported: the driver cannot clone them at the same moment. Nothing changed.
        :raises InvalidGroup: it has no volumes.
        :raises InvalidVolume: a volume cannot be cloned. Nothing changed.
        :raises AlreadyExists: another group has the ID.
        """
        record, asked = _new_group(self, name, description, id, source_group_id=self.id)
        flag = value_checks.check_flag(one_after_another, "one_after_another")
        return _copied(self, record, asked, one_after_another=flag)

    def create_snapshot(
        self,
        name: str = "",
        description: str = "",
        *,
        id: str | None = None,
        one_after_another: bool = False,
    ) -> GroupSnapshot:
        """Take snapshots of all its volumes at the same moment, attached or not.

        :param id: the ID of the group snapshot; by default a new one. If a group snapshot has it,
            nothing changes.
        :param one_after_another: take the snapshots in sequence if the driver cannot take
            them at the same moment (see :attr:`GroupSnapshot.consistent`).
        :raises Unsupported: the driver cannot take them at the same moment. Nothing changed.
        :raises InvalidGroup: it has no volumes.
        :raises AlreadyExists: another group snapshot has the ID.
        """
        record = GroupSnapshotRecord(
            id=new_id() if id is None else self._controller._check_group_id(id),
            backend=self._record.backend,
            group_id=self.id,
            name=validation.check_name(name),
            description=validation.check_description(description),
            user_id=self._record.user_id,
            project_id=self._record.project_id,
        )
        flag = value_checks.check_flag(one_after_another, "one_after_another")
        taken, changed = self._controller._create_group_snapshot(record, one_after_another=flag)
        created = GroupSnapshot(self._controller, taken)
        created.changed = changed
        return created

    def _adopt(self, answer: tuple[GroupRecord, bool]) -> None:
        self._record, self.changed = answer


class GroupSnapshot(_Grouped[GroupSnapshotRecord]):
    """Snapshots of all volumes of a group. ``Group.create_snapshot`` takes it."""

    @property
    def group_id(self) -> str:
        """The ID of the group."""
        return self._record.group_id

    @property
    def consistent(self) -> bool:
        """Whether all snapshots are of the same moment. Otherwise they were taken in
        sequence."""
        return self._record.consistent

    @property
    def snapshot_ids(self) -> tuple[str, ...]:
        """The IDs of the snapshots."""
        return self._record.snapshot_ids

    @property
    def snapshots(self) -> list[Snapshot]:
        """Its snapshots, read from the store. Each can be used as other snapshots, but not deleted
        alone."""
        found = (self._controller.store.get(SnapshotRecord, id) for id in self.snapshot_ids)
        return [self._controller.wrap(each) for each in found if each is not None]

    @property
    def group(self) -> Group:
        """The group.

        :raises GroupNotFound: it does not exist any more.
        """
        return self._controller.group(self.group_id)

    def refresh(self) -> None:
        """Read it from the store again.

        :raises GroupSnapshotNotFound: it does not exist any more.
        """
        self._record = self._controller.group_snapshot(self.id)._record

    def create_group(self, name: str, description: str = "", *, id: str | None = None) -> Group:
        """Create a group with a volume from each snapshot.

        A new volume has the properties of the volume of the snapshot, and the name
        ``<name>-<name of that volume>``.

        :param name: of the new group.
        :param id: the ID of the group; by default a new one. If a group with the same properties
            has it, nothing changes.
        :returns: the new group.
        :raises InvalidSnapshot: a snapshot cannot be read. Nothing changed.
        :raises AlreadyExists: another group has the ID.
        """
        record, asked = _new_group(self, name, description, id, group_snapshot_id=self.id)
        return _copied(self, record, asked)

    def delete(self) -> None:
        """Delete it with its snapshots. One that does not exist any more is not an error.

        :raises InvalidSnapshot: a snapshot is attached, or the storage refuses because it is in
            use.
        """
        self.changed = self._controller._delete_group_snapshot(self.id)
        self._record = replace(self._record, status="deleted")


def _new_group(
    source: Group | GroupSnapshot, name: str, description: str, id: str | None, **origin: str
) -> tuple[GroupRecord, dict[str, Any]]:
    """The record of a new group with the data of another one, and the fields that the program
    specified."""
    texts = {
        "name": validation.check_name(name),
        "description": validation.check_description(description),
    }
    asked: dict[str, Any] = {**{k: v for k, v in texts.items() if v}, **origin}
    record = GroupRecord(
        id=new_id() if id is None else source._controller._check_group_id(id),
        backend=source.backend_name,
        host="",
        user_id=source.record.user_id,
        project_id=source.record.project_id,
        **asked,
    )
    return record, asked


def _copied(
    source: Group | GroupSnapshot,
    record: GroupRecord,
    asked: Mapping[str, Any],
    *,
    one_after_another: bool = False,
) -> Group:
    controller = source._controller
    created, changed = controller._copy_group(record, asked, one_after_another=one_after_another)
    group = Group(controller, created)
    group.changed = changed
    return group


def _ids(volumes: Iterable[Any]) -> list[str]:
    found = [check_resource(each, Volume, "volume").id for each in volumes]
    if not found:
        raise errors.InvalidInput("Specify at least one volume")
    return found
