"""Replication of groups: enable, disable, fail over, fail back.

A group changes under its own lock and the volumes' locks. An interrupted call is repeated: only
the driver's answer has the new locations of all volumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.drivers.port_replication import DEFAULT, GroupWithVolumes
from cinderlib.operations import capabilities, group_members, group_records, replication
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.group_members import held, named
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import is_refusal
from cinderlib.operations.settling import recovers
from cinderlib.persistence import in_key_values
from cinderlib.records import GroupRecord, IntentRecord, VolumeRecord, replace

ENABLE, DISABLE = "group.enable_replication", "group.disable_replication"
FAILOVER = "group.failover"

#: The replication status of a group while an operation runs, and after one that failed.
_RUNNING: Mapping[str, str] = {
    ENABLE: "enabling",
    DISABLE: "disabling",
    FAILOVER: "failing-over",
}
_ERROR = "error"
#: The states of volumes that can be replicated.
_STATES = frozenset({"available", "in-use"})


def enable(journal: Journal, group_id: str) -> tuple[GroupRecord, bool]:
    """Replicate a group with all its volumes.

    :returns: the stored record, and whether this call changed it.
    :raises GroupNotFound: it does not exist.
    :raises Unsupported: the backend cannot replicate groups; nothing changed.
    :raises InvalidGroup, InvalidVolume: the group or a volume cannot be replicated; nothing
        changed.
    :raises DriverError: the storage failed. The replication status is 'error': repeat the call.
    """
    return _change(journal, group_id, ENABLE)


def disable(journal: Journal, group_id: str) -> tuple[GroupRecord, bool]:
    """Stop the replication of a group; as :func:`enable`."""
    return _change(journal, group_id, DISABLE)


def failover(
    journal: Journal, group_id: str, to: str | None, *, allow_attached: bool = False
) -> tuple[GroupRecord, bool]:
    """Let the volumes of a group use their replicas, or the backend's own storage again; as
    :func:`enable`.

    :param to: the ``backend_id`` of a replication device, or 'default' for the backend's own
        storage; ``None`` for the only device.
    :param allow_attached: also if volumes are attached.
    :raises InvalidInput: no replication device has this ID; nothing changed.
    """
    return _change(journal, group_id, FAILOVER, to, allow_attached=allow_attached)


def _change(
    journal: Journal,
    group_id: str,
    operation: str,
    to: str | None = None,
    *,
    allow_attached: bool = False,
) -> tuple[GroupRecord, bool]:
    with held(journal, group_id) as there:
        if there is None:
            raise_not_found(errors.GroupNotFound, "group", group_id)
        driver = journal.driver(there.backend)
        _require(driver, there)
        if operation == FAILOVER:
            to = _target(driver, there, to)
        if _is_reached(there, operation, to):
            return there, False
        members = group_records.existing(journal, there.volume_ids)
        _refuse_group(there, operation, to)
        _refuse_volumes(there, members, operation, allow_attached=allow_attached)
        running = replace(there, replication_status=_RUNNING[operation])
        arguments = {"to": to, "allow_attached": allow_attached or None}
        intent = group_records.begin(
            journal, operation, running, there.volume_ids, arguments, {"to": to}
        )
        try:
            found = _call(driver, running, members, intent)
        except BaseException as exc:
            if not isinstance(exc, errors.StoreError):  # then recovery repeats it
                status = there.replication_status if is_refusal(exc) else _ERROR
                _fail(journal, intent, replace(there, replication_status=status))
            raise
        return _settle(journal, intent, members, found), True


def _require(driver: Driver, group: GroupRecord) -> None:
    """Refuse a group that is not replicated, or whose backend cannot do it."""
    capabilities.require_group_replication(driver, group.backend, group.id)
    if not replication.is_of_group(group):
        raise errors.InvalidGroup(
            f"Group {named(group)} is not replicated: it was created without the group spec"
            f" {replication.GROUP_SPECS[0]}='<is> True'. Create another group with it",
            resource=group.id,
        )
    active = driver.info.active_backend_id
    if active is not None:
        raise errors.InvalidState(
            f"The replication of group {named(group)} cannot be changed: backend"
            f" {group.backend!r} has failed over to {active!r}. Fail back first:"
            f" `cinderlib backend failback {group.backend}`",
            resource=group.id,
        )


def _target(driver: Driver, group: GroupRecord, to: str | None) -> str:
    targets = driver.info.replication_targets
    if to is None:
        if group.active_backend_id is not None:
            return group.active_backend_id
        if len(targets) == 1:
            return targets[0]
        raise errors.InvalidInput(
            f"Backend {group.backend!r} has several replication devices. Choose one for group"
            f" {named(group)}: {', '.join(targets)}",
            resource=group.id,
        )
    if to not in (DEFAULT, *targets):
        raise errors.InvalidInput(
            f"Backend {group.backend!r} has no replication device {to!r}. Its devices:"
            f" {', '.join(targets)}",
            resource=group.id,
        )
    return to


def _is_reached(group: GroupRecord, operation: str, to: str | None) -> bool:
    """Whether the group is in the requested state already."""
    status = group.replication_status
    if operation == DISABLE:
        return status == "disabled"
    if operation == ENABLE or to == DEFAULT:
        return status == "enabled"
    return status == "failed-over" and group.active_backend_id == to


def _refuse_group(group: GroupRecord, operation: str, to: str | None) -> None:
    """:raises InvalidGroup: the state of the group does not allow it."""
    if operation != FAILOVER:
        group_members.refuse_failed_over(group, "enabled" if operation == ENABLE else "disabled")
    if group.status != "available":
        reason = f"it is '{group.status}'"
    elif not group.volume_ids:
        reason = "it has no volumes. Add volumes to it first"
    elif operation == FAILOVER and group.replication_status == "disabled":
        reason = f"it is disabled. Enable it first: `cinderlib group enable-replication {group.id}`"
    else:
        return
    raise errors.InvalidGroup(
        f"The replication of group {named(group)} cannot be changed: {reason}", resource=group.id
    )


def _refuse_volumes(
    group: GroupRecord, members: Sequence[VolumeRecord], operation: str, *, allow_attached: bool
) -> None:
    """:raises InvalidVolume: the state of a volume does not allow it."""
    if operation == DISABLE:
        return
    for volume in members:
        if volume.status not in _STATES:
            reason = f"is '{volume.status}'"
        elif operation == ENABLE and not replication.is_required(volume):
            reason = (
                "has no replica: its extra specs do not require one (replication_enabled='<is>"
                " True')"
            )
        elif operation == FAILOVER and volume.status == "in-use" and not allow_attached:
            reason = (
                "is attached, and hosts do not follow a failover. Detach it first, or specify"
                " allow_attached (--allow-attached)"
            )
        else:
            continue
        raise errors.InvalidVolume(
            f"The replication of group {named(group)} cannot be changed: volume {volume.id}"
            f" {reason}",
            resource=volume.id,
        )


def _call(
    driver: Driver, group: GroupRecord, members: Sequence[VolumeRecord], intent: IntentRecord
) -> GroupWithVolumes:
    """Call the driver for an operation. It can be repeated after any step."""
    if intent.operation == ENABLE:
        return driver.enable_replication(group, members)
    if intent.operation == DISABLE:
        return driver.disable_replication(group, members)
    return driver.failover_replication(group, members, intent.data["to"])


def _settle(
    journal: Journal, intent: IntentRecord, members: Sequence[VolumeRecord], found: GroupWithVolumes
) -> GroupRecord:
    """Record the driver's answer.

    :returns: the stored group.
    :raises DriverError: the driver reports a failure.
    """
    group, changed = found
    if group.replication_status == _ERROR:
        _fail(journal, intent, group, members, changed)
        raise errors.DriverError(
            f"Backend {group.backend!r} could not change the replication of group {named(group)}:"
            f" the driver reports the replication status 'error' after {intent.operation}; its log"
            " has the reason. Repeat the call",
            resource=group.id,
        )
    done = f"The replication of group {named(group)} is {group.replication_status}"
    return group_records.finish(journal, intent, done, group, members, changed)


def _fail(
    journal: Journal,
    intent: IntentRecord,
    group: GroupRecord,
    before: Sequence[VolumeRecord] = (),
    after: Sequence[VolumeRecord] = (),
) -> None:
    """Record a failure, with the replication status of a group."""
    group_records.fail(
        journal,
        intent,
        group,
        group.status,
        (before, after),
        replication_status=group.replication_status,
    )


@recovers(ENABLE)
@recovers(DISABLE)
@recovers(FAILOVER)
def recover(journal: Journal, intent: IntentRecord) -> str:
    """Repeat the call: the storage may have changed some volumes."""
    group = in_key_values.find(journal.store, GroupRecord, intent.resource_id)
    if group is None:
        journal.finish(intent, "The group does not exist any more", outcome="undone")
        return "undone"
    members = group_records.existing(journal, group.volume_ids)
    try:
        found = _call(journal.driver(intent.backend), group, members, intent)
    except errors.CinderlibError as exc:
        if not isinstance(exc, errors.StoreError | errors.Busy):
            _fail(journal, intent, replace(group, replication_status=_ERROR))
        raise
    _settle(journal, intent, members, found)
    return "finished"
