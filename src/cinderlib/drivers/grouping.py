"""The calls of a driver for groups and group snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from cinder import exception, objects
from cinder.objects.fields import ReplicationStatus

from cinderlib.drivers import rows, translate
from cinderlib.drivers.lockfiles import LockFiles
from cinderlib.drivers.port import TASKS
from cinderlib.drivers.scope import Call, Calling
from cinderlib.records import (
    GroupRecord,
    GroupSnapshotRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

R = TypeVar("R", VolumeRecord, SnapshotRecord)

#: The end of a status with which drivers report a failure instead of raising an error.
_FAILED = ("error", "error_deleting", "error_updating")


class GroupingDriver:
    """The part of :class:`cinderlib.drivers.host.LocalDriver` for groups."""

    _driver: Any
    _context: Any
    _lock_files: LockFiles

    def _calling(self, what: str, *given: Record) -> Calling:
        raise NotImplementedError

    def create_group(self, group: GroupRecord) -> GroupRecord:
        with self._calling(TASKS["create_group"], group):
            answer = self._driver.create_group(self._context, self._group(group))
            _check([answer])
            return _created(group, answer)

    def update_group(
        self, group: GroupRecord, add: Sequence[VolumeRecord], remove: Sequence[VolumeRecord]
    ) -> list[VolumeRecord]:
        with self._calling(TASKS["update_group"], group, *add, *remove) as call:
            added, removed = self._volumes(add), self._volumes(remove)
            answer = self._driver.update_group(
                self._context, self._group(group), add_volumes=added, remove_volumes=removed
            )
            own, *of_volumes = answer or (None, None, None)
            updates = [each for found in of_volumes for each in found or ()]
            _check([own, *updates])
            return _folded(call, [*add, *remove], [*added, *removed], updates)

    def delete_group(self, group: GroupRecord, volumes: Sequence[VolumeRecord]) -> None:
        with self._calling(TASKS["delete_group"], group, *volumes):
            try:
                answer = self._driver.delete_group(
                    self._context, self._group(group), self._volumes(volumes)
                )
            except exception.GroupNotFound:
                answer = None
            own, updates = answer or (None, None)
            _check([own, *(updates or ())])
            for volume in volumes:
                self._lock_files.remove_of_volume(volume.id)

    def create_group_from_snapshot(
        self,
        group: GroupRecord,
        volumes: Sequence[VolumeRecord],
        group_snapshot: GroupSnapshotRecord,
        source: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        source_volumes: Sequence[VolumeRecord],
    ) -> tuple[GroupRecord, list[VolumeRecord]]:
        given = group, *volumes, group_snapshot, source, *snapshots, *source_volumes
        with self._calling(TASKS["create_group_from_snapshot"], *given) as call:
            return self._create_group_from_source(
                call,
                group,
                volumes,
                group_snapshot=self._group_snapshot(group_snapshot, source),
                snapshots=self._snapshots(snapshots, source_volumes),
            )

    def create_cloned_group(
        self,
        group: GroupRecord,
        volumes: Sequence[VolumeRecord],
        source: GroupRecord,
        source_volumes: Sequence[VolumeRecord],
    ) -> tuple[GroupRecord, list[VolumeRecord]]:
        given = group, *volumes, source, *source_volumes
        with self._calling(TASKS["create_cloned_group"], *given) as call:
            return self._create_group_from_source(
                call,
                group,
                volumes,
                source_group=self._group(source),
                source_volumes=self._volumes(source_volumes),
            )

    def create_group_snapshot(
        self,
        group_snapshot: GroupSnapshotRecord,
        group: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        volumes: Sequence[VolumeRecord],
    ) -> list[SnapshotRecord]:
        with self._calling(
            TASKS["create_group_snapshot"], group_snapshot, group, *snapshots, *volumes
        ) as call:
            taken = self._snapshots(snapshots, volumes)
            answer = self._driver.create_group_snapshot(
                self._context, self._group_snapshot(group_snapshot, group), taken
            )
            own, updates = answer or (None, None)
            _check([own, *(updates or ())])
            return _folded(call, snapshots, taken, updates or ())

    def delete_group_snapshot(
        self,
        group_snapshot: GroupSnapshotRecord,
        group: GroupRecord,
        snapshots: Sequence[SnapshotRecord],
        volumes: Sequence[VolumeRecord],
    ) -> None:
        with self._calling(
            TASKS["delete_group_snapshot"], group_snapshot, group, *snapshots, *volumes
        ):
            try:
                answer = self._driver.delete_group_snapshot(
                    self._context,
                    self._group_snapshot(group_snapshot, group),
                    self._snapshots(snapshots, volumes),
                )
            except exception.GroupSnapshotNotFound:
                answer = None
            own, updates = answer or (None, None)
            _check([own, *(updates or ())])
            for snapshot in snapshots:
                self._lock_files.remove_of_snapshot(snapshot.id)

    # --- internal

    def _create_group_from_source(
        self,
        call: Call,
        group: GroupRecord,
        volumes: Sequence[VolumeRecord],
        *,
        group_snapshot: Any = None,
        snapshots: Any = None,
        source_group: Any = None,
        source_volumes: Any = None,
    ) -> tuple[GroupRecord, list[VolumeRecord]]:
        created = self._volumes(volumes)
        # Drivers have different names for the last arguments.
        answer = self._driver.create_group_from_src(
            self._context,
            self._group(group),
            created,
            group_snapshot,
            snapshots,
            source_group,
            source_volumes,
        )
        own, updates = answer or (None, None)
        _check([own, *(updates or ())])
        return _created(group, own), _folded(call, volumes, created, updates or ())

    def _volumes(self, volumes: Iterable[VolumeRecord]) -> list[Any]:
        return [translate.volume(self._context, each) for each in volumes]

    def _snapshots(
        self, snapshots: Sequence[SnapshotRecord], volumes: Sequence[VolumeRecord]
    ) -> list[Any]:
        known = {each.id: each for each in volumes}
        return [
            translate.snapshot(
                self._context, each, translate.volume(self._context, known[each.volume_id])
            )
            for each in snapshots
        ]

    def _group(self, group: GroupRecord) -> Any:
        return translate.group(self._context, group)

    def _group_snapshot(self, group_snapshot: GroupSnapshotRecord, group: GroupRecord) -> Any:
        found = objects.GroupSnapshot(
            self._context,
            **rows.group_snapshot(group_snapshot, rows.group_type_id(group)),
            group=self._group(group),
        )
        found.obj_reset_changes()
        return found


def _created(group: GroupRecord, update: Mapping[str, Any] | None) -> GroupRecord:
    """The group with the driver's replication status: some drivers replicate a new group at
    once."""
    is_enabled = (update or {}).get("replication_status") == ReplicationStatus.ENABLED
    return replace(group, replication_status="enabled") if is_enabled else group


def _check(updates: Iterable[Mapping[str, Any] | None]) -> None:
    """:raises cinder.exception.VolumeDriverException: the driver reports a failure."""
    for update in updates:
        status = (update or {}).get("status")
        if status in _FAILED:
            about = f" of {update['id']}" if update and "id" in update else ""
            raise exception.VolumeDriverException(
                f"the driver reports the status {status!r}{about}; its log has the reason"
            )


def _folded(
    call: Call, records: Sequence[R], objs: Sequence[Any], updates: Iterable[Mapping[str, Any]]
) -> list[R]:
    """The records with the driver's changes. The status is determined by the operation."""
    by_id = {
        update["id"]: {k: v for k, v in update.items() if k not in ("id", "status")}
        for update in updates
    }
    return [
        translate.fold(call, record, obj, by_id.get(record.id))
        for record, obj in zip(records, objs, strict=True)
    ]
