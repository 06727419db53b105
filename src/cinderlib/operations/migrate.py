"""Migrates volumes to another pool or backend: by the driver, or by a copy."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, Literal

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations import (
    capabilities,
    long_calls,
    migrate_by_copy,
    migration_targets,
    one_array,
    volumes,
)
from cinderlib.operations.intents import intents_of
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.refusals import is_refusal, refuse_migrating, refuse_temporary
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Query, Remove
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

LOG = logging.getLogger(__name__)

_BY_DRIVER = "volume.migrate"


@dataclasses.dataclass(frozen=True, slots=True)
class Destination:
    """Where a volume is migrated to.

    :ivar backend: the name of a loaded backend.
    :ivar host: the ``host`` of the volume there, with the pool.
    :ivar any_pool: whether another pool of this backend is as good.
    """

    backend: str
    host: str
    any_pool: bool = False

    @property
    def pool(self) -> str:
        return self.host.partition("#")[2]

    def has(self, volume: VolumeRecord) -> bool:
        """Whether a volume has this place already."""
        at_pool = self.any_pool or volume.host.partition("#")[2] == self.pool
        return volume.backend == self.backend and at_pool


def migrate(
    journal: Journal, volume_id: str, to: Destination, *, by_copy: bool = False
) -> tuple[VolumeRecord, bool]:
    """Migrate a volume; called within :meth:`Journal.whole_call`.

    :param by_copy: do not let the driver move it.
    :returns: the stored record, and whether the volume was migrated by this call.
    :raises InvalidVolume: it is connected, has snapshots, or its status does not allow it. Nothing
        changed.
    :raises OutOfRange: the pool is too small. Nothing changed.
    :raises NodeError: this host cannot attach both volumes, or the copy failed. The volume stays
        where it was.
    """
    settle_earlier(journal, volume_id)
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, users = look(journal, volume_id)
        if to.has(volume):
            return volume, False
        driver, target = journal.driver(volume.backend), journal.driver(to.backend)
        refuse_impossible(journal, volume, users, to)
        before = volume
        if not by_copy and capabilities.is_native(driver, "volume.migrate"):
            intent, volume, moved = _by_driver(journal, driver, target, volume, to)
            if moved:
                return volume, True
            try:
                one_array.refuse_copy(journal, before, to.backend)
            except errors.Unsupported:
                journal.fail(intent, volume, replace(volume, **_states(before)))
                raise
            dropped = [Remove(IntentRecord, intent.id)]
        else:
            one_array.refuse_copy(journal, before, to.backend)
            dropped = []
        copying = migrate_by_copy.intent(
            journal, before, backend=to.backend, host=to.host, changes={}
        )
        journal.begin_with(copying, migrating(volume), *dropped, before=volume)
    return migrate_by_copy.run(journal, copying), True


@dataclasses.dataclass(frozen=True, slots=True)
class Users:
    """The users of a volume that prevent its migration, and its intents."""

    connections: Sequence[ConnectionRecord]
    snapshots: Sequence[SnapshotRecord]
    intents: Sequence[IntentRecord]


def settle_earlier(journal: Journal, volume_id: str) -> None:
    """Settle an interrupted migration of a volume that was started on this host."""
    long_calls.finish_interrupted(journal, volume_id, migration_targets.BY_COPY)
    migrate_by_copy.delete_old_data(journal, volume_id)


def look(journal: Journal, volume_id: str) -> tuple[VolumeRecord, Users]:
    """A volume before its migration; its lock is held.

    :raises VolumeNotFound: there is none.
    """
    volume, (connections, snapshots, intents) = volumes.look(
        journal,
        volume_id,
        Query(ConnectionRecord, "volume_id", volume_id, limit=1),
        Query(SnapshotRecord, "volume_id", volume_id, limit=1),
        intents_of(volume_id),
    )
    return volume, Users(connections, snapshots, intents)


def refuse_impossible(
    journal: Journal,
    volume: VolumeRecord,
    users: Users,
    to: Destination,
    statuses: Sequence[str] = ("available",),
    size: int | None = None,
) -> None:
    """Refuse a migration that cannot succeed, before any change.

    :param statuses: those of volumes that can be migrated.
    :param size: of the copy, in GiB; by default that of the volume.
    :raises Busy, InvalidVolume, OutOfRange: it cannot.
    """
    long_calls.refuse_others(journal, volume.id, users.intents, "migrated")
    refuse(volume, users.connections, users.snapshots, statuses)
    refuse_unmapped(journal, volume, users.intents)
    target = journal.driver(to.backend)
    volumes.refuse_impossible_size(target, placed(volume, to), size or volume.size)


def migrating(volume: VolumeRecord) -> VolumeRecord:
    return replace(volume, status="maintenance", migration_status="migrating")


def _states(volume: VolumeRecord) -> dict[str, Any]:
    return {"status": volume.status, "migration_status": volume.migration_status}


def placed(volume: VolumeRecord, to: Destination) -> VolumeRecord:
    """The volume as its destination would have it."""
    return replace(volume, backend=to.backend, host=to.host)


def refuse(
    volume: VolumeRecord,
    connections: Sequence[ConnectionRecord],
    snapshots: Sequence[SnapshotRecord],
    statuses: Sequence[str] = ("available",),
) -> None:
    """Refuse a volume that cannot be migrated.

    :param connections: those that are in the way.
    :param statuses: in which it can be.
    :raises InvalidVolume: it cannot.
    """
    refuse_temporary(volume, "migrated")
    refuse_migrating(volume, "migrated again")
    why = ""
    if connections:
        why = f"it is connected to {host_of(connections[0])}; disconnect it first"
    elif snapshots:
        why = "it has snapshots, which cannot be migrated; delete them first"
    elif volume.group_id is not None:
        why = f"it belongs to group {volume.group_id}; remove it from the group first"
    elif volume.replication_status not in (None, "disabled", "not-capable"):
        why = f"it is replicated ('{volume.replication_status}')"
    elif volume.status not in statuses:
        why = f"it is '{volume.status}'"
    if why:
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be migrated: {why}. No change was made", resource=volume.id
        )


def refuse_unmapped(
    journal: Journal, volume: VolumeRecord, intents: Sequence[IntentRecord]
) -> None:
    """Retry pending unmaps: the old data is deleted, and then its mapping cannot be removed.

    :raises InvalidVolume: one failed again.
    """
    if journal.retry_pending_unmaps(intents):
        raise errors.InvalidVolume(
            f"Volume {volume.id} cannot be migrated: a host may still reach it, and the driver"
            " fails to unmap it. No change was made",
            resource=volume.id,
        )


# --- by the driver ------------------------------------------------------------------------------


def _by_driver(
    journal: Journal, driver: Driver, target: Driver, volume: VolumeRecord, to: Destination
) -> tuple[IntentRecord, VolumeRecord, bool]:
    """Let the driver move a volume, whose lock is held.

    :returns: the intent, the stored record, and whether it was moved. Otherwise, the intent stays.
    """
    # If the destination finds no volume with this name now, it finds only the moved one later.
    is_apart = volume.backend != to.backend and target.exists(placed(volume, to)) is False
    intent, marked = journal.begin(
        _BY_DRIVER,
        volumes.lock_name(volume.id),
        migrating(volume),
        before=volume,
        data={"backend": to.backend, "host": to.host, "is_apart": is_apart},
        arguments={"backend": to.backend, "pool": to.pool},
    )
    try:
        moved = driver.migrate_volume(marked, to.host, _capabilities(target, to.pool))
    except BaseException as exc:
        if isinstance(exc, errors.Unsupported):
            return intent, marked, False
        if not _is_moved_after(exc, journal, intent, marked, volume.status):
            raise
        LOG.warning("Volume %s was moved to %s, but the driver failed: %s", volume.id, to.host, exc)
        moved = marked
    if moved is None:
        return intent, marked, False
    return intent, _finish(journal, intent, marked, moved), True


def _is_moved_after(
    error: BaseException, journal: Journal, intent: IntentRecord, volume: VolumeRecord, status: str
) -> bool:
    """Determine after an error whether the driver has moved a volume, and record that it has not.
    While that is unknown, the intent stays: a later call determines it.

    :param status: of the volume if it stays.
    """
    if was_interrupted(error) or isinstance(error, errors.DriverTimeout):
        return False
    if not is_refusal(error):
        try:
            place = _place(journal, intent, volume)
        except errors.CinderlibError as exc:
            error.add_note(f"recover() determines later where the volume is: {exc}")
            return False
        if place == "there":
            return True
        if place is None:
            error.add_note(
                "The storage does not report where the volume is: if the driver has moved it,"
                " unmanage it here, and manage the volume at its new place"
            )
    # As in Cinder's manager, a driver that fails has not moved it.
    stays = replace(volume, status=status, migration_status="error")
    journal.fail(intent, volume, stays)
    return False


def _place(
    journal: Journal, intent: IntentRecord, volume: VolumeRecord
) -> Literal["here", "there"] | None:
    """Where a driver that ended early has left a volume. An incomplete copy is deleted.

    :returns: ``None`` if the storage does not report it.
    """
    data = intent.data
    if not data["is_apart"]:
        return None
    there = placed(volume, Destination(data["backend"], data["host"]))
    is_here = journal.driver(volume.backend).exists(volume)
    target = journal.driver(there.backend)
    if is_here is True:
        if target.exists(there) is True:
            target.delete_volume(there)  # the driver deletes the old data last
        return "here"
    return "there" if is_here is False and target.exists(there) is True else None


def _capabilities(driver: Driver, pool: str) -> dict[str, Any]:
    """What a driver reports for a pool, as Cinder's scheduler passes it."""
    stats = driver.stats()
    pools = {each["pool_name"]: each for each in stats["pools"]}
    common = {key: value for key, value in stats.items() if key != "pools"}
    return {**common, **pools.get(pool, {})}


def _finish(
    journal: Journal, intent: IntentRecord, before: VolumeRecord, moved: VolumeRecord
) -> VolumeRecord:
    after = replace(
        moved,
        backend=intent.data["backend"],
        host=intent.data["host"],
        managed_from=None,
        status="available",
        migration_status=None,
    )
    return journal.finish_with(intent, f"Volume {before.id} was migrated", before, after)


@recovers(_BY_DRIVER)
def recover_migration(journal: Journal, intent: IntentRecord) -> str:
    """Determine where the volume is. If the storage does not report it, let the driver move it
    again."""
    data, volume = intent.data, journal.store.get(VolumeRecord, intent.resource_id)
    if volume is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    to = Destination(data["backend"], data["host"])
    if to.has(volume):
        # Interrupted in a store that writes one record after the other.
        _finish(journal, intent, volume, volume)
        return "finished"
    place = _place(journal, intent, volume)
    moved = volume if place == "there" else None
    if place is None:
        moved = _move_again(journal, volume, to)
    if moved is not None:
        _finish(journal, intent, volume, moved)
        return "finished"
    stays = replace(volume, status="available", migration_status=None)
    journal.finish_with(intent, "The volume stays where it was", volume, stays, outcome="undone")
    return "undone"


def _move_again(journal: Journal, volume: VolumeRecord, to: Destination) -> VolumeRecord | None:
    driver, target = journal.driver(volume.backend), journal.driver(to.backend)
    try:
        return driver.migrate_volume(volume, to.host, _capabilities(target, to.pool))
    except errors.CinderlibError as exc:
        if was_interrupted(exc) or isinstance(exc, errors.DriverTimeout):
            raise
        return None
