"""Operations that consist of other operations, for example a copy between two attached volumes.

Only the lock of their call is held between the steps, so each step can take its own locks. Each
step is settled by itself after a crash. The intent of the whole is then taken over by a process on
the host that started it, and the call continues there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cinderlib import errors
from cinderlib.locking.process_identity import this_process
from cinderlib.operations import volumes
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.history import Outcome
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal
from cinderlib.persistence.base import Change, Put
from cinderlib.records import IntentRecord, VolumeRecord, replace

#: The operations.
LONG_CALLS = frozenset(
    {
        *("volume.migrate_by_copy", "volume.revert_by_copy", "volume.start_migration"),
        *("volume.apply", "volume.wipe"),
    }
)


def lock_name(volume_id: str) -> str:
    """The lock that is held for a moment to take over a long call."""
    return f"long call:{volume_id}"


def intent(
    journal: Journal,
    operation: str,
    volume: VolumeRecord,
    data: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> IntentRecord:
    """The intent of a long call of this thread.

    :param data: what recovery needs.
    :param arguments: for the history.
    """
    new = new_intent(
        operation,
        volume,
        lock_name(volume.id),
        data={**data, **journal.this_call()},
        arguments=arguments,
    )
    journal.measure(new)
    return new


def refuse_others(
    journal: Journal, volume_id: str, found: Iterable[IntentRecord], task: str = "connected"
) -> bool:
    """Refuse to use a volume that a long call works on.

    :param found: the intents of the volume.
    :param task: as a participle, for the message.
    :returns: whether this thread executes a long call on it.
    :raises Busy: another process does.
    """
    calls = [each for each in found if each.operation in LONG_CALLS]
    if not calls:
        return False
    if any(journal.is_this_call(each) for each in calls):
        return True
    raise errors.Busy(
        f"Volume {volume_id} cannot be {task}: {calls[0].operation} of it was started by process"
        f" {calls[0].owner.pid} on {calls[0].owner.host}. Wait until it ends, or call recover()",
        resource=volume_id,
    )


def settled_with(journal: Journal, found: Iterable[IntentRecord]) -> list[Change]:
    """Remove the intents of interrupted long calls on a volume that is deleted.

    :param found: the intents of the volume.
    :raises Busy: one is running.
    """
    calls = [each for each in found if each.operation in LONG_CALLS]
    for each in calls:
        if journal.whole_call_is_running(each):
            raise errors.Busy(
                f"Volume {each.resource_id} cannot be deleted: {each.operation} of it is running",
                resource=each.resource_id,
            )
    return [change for each in calls for change in journal.ended(each, "failed")]


def finish_interrupted(journal: Journal, volume_id: str, operation: str) -> None:
    """Finish an interrupted long call on a volume that was started on this host."""
    for each in journal.store.find(IntentRecord, {"resource_id": volume_id}):
        if each.operation == operation and journal.is_on_this_host(each):
            mine = take_over(journal, each)
            if mine is not None:
                journal.recover(mine)


def take_over(journal: Journal, intent: IntentRecord) -> IntentRecord | None:
    """Continue an interrupted long call in this thread; called within :meth:`Journal.whole_call`.

    :returns: the intent, or ``None`` if it has ended or still runs.
    :raises Busy: another process takes it over now.
    """
    with journal.locks.hold(intent.lock, timeout=5):
        current = journal.store.get(IntentRecord, intent.id)
        if current is None or journal.whole_call_is_running(current):
            return None
        data = {**current.data, **journal.this_call()}
        mine = replace(current, owner=this_process(), data=data)
        journal.store.apply(Put(mine))
        return journal.store.get(IntentRecord, intent.id)


def volume_of(journal: Journal, intent: IntentRecord) -> VolumeRecord:
    """The volume of a long call.

    :raises VolumeNotFound: its record was removed meanwhile.
    """
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is None:
        raise_not_found(errors.VolumeNotFound, "volume", intent.resource_id)
    return volume


def end(
    journal: Journal, intent: IntentRecord, done: str, outcome: Outcome = "done", **changes: Any
) -> VolumeRecord:
    """Record the result of a long call.

    :param done: as for :meth:`Journal.finish`, like ``outcome``.
    :param changes: fields of the volume.
    :returns: the stored volume.
    """
    with journal.locks.hold(volumes.lock_name(intent.resource_id)):
        volume = volume_of(journal, intent)
        return journal.finish_with(
            intent, done, volume, replace(volume, **changes), outcome=outcome
        )
