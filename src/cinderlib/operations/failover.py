"""Failover of a backend to another storage system with replicas of the volumes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.drivers.port_replication import DEFAULT
from cinderlib.operations import capabilities, group_members, replication
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import is_refusal
from cinderlib.operations.settling import recovers
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Change, Store
from cinderlib.records import (
    GroupRecord,
    IntentRecord,
    Record,
    ReplicationRecord,
    VolumeRecord,
    replace,
)

#: The states of a volume that may not exist on the storage.
_INCOMPLETE = frozenset({"creating", "deleting"})
#: The states of a volume without a replica that a failover changes to 'error'.
_USABLE = frozenset({"available", "in-use"})


def lock_name(backend: str) -> str:
    """The lock under which the state of a backend's replication changes."""
    return f"replication:{backend}"


def require(driver: Driver, backend: str) -> None:
    """Refuse the operation on a backend without replication.

    :raises Unsupported: it has none. Nothing changed.
    """
    found = capabilities.of_replication(driver.info, replication.FAILOVER)
    if not found.is_possible:
        raise errors.Unsupported(
            f"Backend {backend!r} has no replication: {found.reason}. No change was made",
            resource=backend,
        )


def failover(journal: Journal, backend: str, to: str | None) -> tuple[ReplicationRecord, bool]:
    """Let a backend use the replicas of the volumes, or its own storage again.

    Volumes without a replica get the status 'error' until the backend uses its own storage again.

    :param to: the ``backend_id`` of a replication device, or 'default' for the backend's own
        storage; ``None`` lets the driver choose, if the backend has not failed over.
    :returns: the state, and whether it was changed by this call.
    :raises Unsupported: the backend has no replication; nothing changed.
    :raises InvalidInput: no replication device has this ID; nothing changed.
    :raises InvalidState: the driver refuses this target now; nothing changed.
    :raises DriverError: the storage failed. The status is 'failover-error': repeat the call.
    """
    lock = lock_name(backend)
    with journal.locks.hold(lock):
        journal.settle(backend, lock)
        driver = journal.driver(backend)
        require(driver, backend)
        targets = driver.info.replication_targets
        if to not in (None, DEFAULT, *targets):
            raise errors.InvalidInput(
                f"Backend {backend!r} has no replication device {to!r}. Its devices:"
                f" {', '.join(targets)}",
                resource=backend,
            )
        state = replication.find(journal.store, backend)
        if _is_reached(state, to):
            return state, False
        intent = new_intent(
            replication.FAILOVER,
            state,
            lock,
            data={"to": to, "status": state.status},
            arguments={"to": to},
        )
        begun = replace(state, status=replication.FAILING_OVER)
        journal.begin_with(intent, in_key_values.put(begun).record)
        try:
            return _fail_over(journal, driver, intent), True
        except BaseException as exc:
            if not isinstance(exc, errors.StoreError):  # then recovery repeats it
                _fail(journal, intent, state.status if is_refusal(exc) else None)
            raise


def _is_reached(state: ReplicationRecord, to: str | None) -> bool:
    """Whether the backend uses the requested storage already."""
    if state.status == replication.FAILOVER_ERROR:
        return False
    if to == DEFAULT:
        return state.active_backend_id is None
    return state.active_backend_id is not None and to in (None, state.active_backend_id)


def _fail_over(journal: Journal, driver: Driver, intent: IntentRecord) -> ReplicationRecord:
    """Call the driver and record the result. It can be repeated after any step."""
    store, to = journal.store, intent.data["to"]
    found = store.find(VolumeRecord, {"backend": intent.backend})
    found = [each for each in found if each.snapshot_access != "native"]  # mapped snapshots
    replicated = [_in_settled_state(each) for each in found if _has_replica(each)]
    others = [each for each in found if not _has_replica(each)]
    active, changed, groups = driver.failover(replicated, to, _replicated_groups(store, replicated))
    before: list[Record] = [*replicated, *others]
    after: list[Record] = [*changed]
    after += [_without_replica(each) if active else _with_own_storage(each) for each in others]

    def changes() -> list[Change]:
        state = replication.find(store, intent.backend)
        status = "failed-over" if active else "enabled"
        settled = replace(state, status=status, active_backend_id=active)
        # The state is last: without transactions, an interruption before it lets recovery load the
        # driver for the previous storage, so that the driver returns all changes again.
        return [
            *group_members.changed(store, before, after),
            *_changed_groups(store, groups),
            in_key_values.put(settled),
        ]

    done = f"Backend {intent.backend} has failed over to {active or 'its own storage'}"
    group_members.finish(journal, intent, done, changes)
    return replication.find(store, intent.backend)


def _replicated_groups(store: Store, replicated: Iterable[VolumeRecord]) -> list[GroupRecord]:
    """The replicated groups of volumes. They are found by the volumes, because not every store can
    list its groups."""
    ids = dict.fromkeys(each.group_id for each in replicated if each.group_id is not None)
    found = (in_key_values.find(store, GroupRecord, id) for id in ids)
    return [each for each in found if each is not None and replication.is_of_group(each)]


def _changed_groups(store: Store, groups: Iterable[GroupRecord]) -> Iterator[Change]:
    for each in groups:
        current = in_key_values.find(store, GroupRecord, each.id)
        if current is not None:
            yield in_key_values.put(
                replace(
                    current,
                    replication_status=each.replication_status,
                    active_backend_id=each.active_backend_id,
                )
            )


def _has_replica(volume: VolumeRecord) -> bool:
    return replication.is_replicated(volume) and volume.status not in _INCOMPLETE


def _in_settled_state(volume: VolumeRecord) -> VolumeRecord:
    """The record for the driver: some drivers fail over only volumes with a status that they know.
    The status of a running or interrupted operation is that operation's own."""
    if volume.status in _USABLE or volume.status.startswith("error"):
        return volume
    settled = "in-use" if volume.attach_status == "attached" else "available"
    return replace(volume, status=settled)


def _without_replica(volume: VolumeRecord) -> VolumeRecord:
    """A volume that cannot be used until the backend uses its own storage again."""
    if volume.replication_extended_status == replication.NO_REPLICA:
        return volume
    lost = replace(
        volume,
        replication_status=replication.NOT_CAPABLE,
        replication_extended_status=replication.NO_REPLICA,
    )
    if volume.status not in _USABLE:
        return lost
    return replace(lost, status="error", previous_status=volume.status)


def _with_own_storage(volume: VolumeRecord) -> VolumeRecord:
    """A volume that can be used again."""
    if volume.replication_extended_status != replication.NO_REPLICA:
        return volume
    found = replace(volume, replication_extended_status=None)
    if volume.status != "error" or volume.previous_status not in _USABLE:
        return found
    status = "in-use" if volume.attach_status == "attached" else "available"
    return replace(found, status=status, previous_status=None)


def _fail(journal: Journal, intent: IntentRecord, status: str | None) -> None:
    """Record a failure.

    :param status: of the backend; by default that of a failed failover.
    """

    def changes() -> list[Change]:
        state = replication.find(journal.store, intent.backend)
        return [in_key_values.put(replace(state, status=status or replication.FAILOVER_ERROR))]

    group_members.fail(journal, intent, changes)


@recovers(replication.FAILOVER)
def recover_failover(journal: Journal, intent: IntentRecord) -> str:
    """Repeat the call: the storage may have failed over some volumes, and only the driver's answer
    has the new locations of all of them."""
    driver = journal.driver(intent.backend)
    try:
        _fail_over(journal, driver, intent)
    except errors.CinderlibError as exc:
        if not isinstance(exc, errors.StoreError | errors.Busy):
            _fail(journal, intent, None)
        raise
    return "finished"
