"""Wipe a volume: attach it to this host, overwrite all its data with zeros, and detach it."""

from __future__ import annotations

from cinderlib import errors
from cinderlib.operations import copying, long_calls, volumes
from cinderlib.operations.history import Outcome
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.refusals import refuse_migrating, refuse_temporary
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Query
from cinderlib.persistence.host_key import host_of
from cinderlib.records import ConnectionRecord, IntentRecord, VolumeRecord, replace

_OPERATION = "volume.wipe"


def wipe(journal: Journal, volume_id: str) -> VolumeRecord:
    """Overwrite the data of a volume; called within :meth:`Journal.whole_call`.

    :raises InvalidVolume: it is connected, or its status does not allow it; nothing changed.
    :raises NodeError: this host cannot attach it, or the device failed. If a part of the data was
        overwritten already, the volume has the status ``'error'``.
    """
    long_calls.finish_interrupted(journal, volume_id, _OPERATION)
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, (connections, intents) = volumes.look(
            journal,
            volume_id,
            Query(ConnectionRecord, "volume_id", volume_id, limit=1),
            Query(IntentRecord, "resource_id", volume_id),
        )
        refuse_temporary(volume, "wiped")
        refuse_migrating(volume, "wiped")
        long_calls.refuse_others(journal, volume_id, intents, "wiped")
        if connections:
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be wiped: it is connected to"
                f" {host_of(connections[0])}; disconnect it first",
                resource=volume_id,
            )
        if volume.status not in ("available", "error"):
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be wiped: it is '{volume.status}'", resource=volume_id
            )
        journal.driver(volume.backend)
        data = {"status": volume.status}
        intent = long_calls.intent(journal, _OPERATION, volume, data, {})
        emptied = replace(volume, encryption_opened=False)
        journal.begin_with(intent, emptied, before=volume)
    return _run(journal, intent)


def _run(journal: Journal, intent: IntentRecord) -> VolumeRecord:
    """All steps. They can be repeated."""
    id, status = intent.resource_id, intent.data["status"]
    volume = long_calls.volume_of(journal, intent)
    try:
        device = copying.attach_volume(journal, volume)
        status = "error"
        copying.wipe(journal, device, id)
        status = "available"
        copying.detach_all(journal, [id])
    except BaseException as exc:
        if not was_interrupted(exc):
            _fail(journal, intent, exc, status)
        raise
    return _end(journal, intent, status, "done")


def _fail(journal: Journal, intent: IntentRecord, cause: BaseException, status: str) -> None:
    """Detach the volume, and record its status."""
    try:
        copying.detach_all(journal, [intent.resource_id])
        _end(journal, intent, status, "failed")
    except errors.CinderlibError as exc:
        cause.add_note(f"Detaching it failed too, and is tried again later: {exc}")


def _end(journal: Journal, intent: IntentRecord, status: str, outcome: Outcome) -> VolumeRecord:
    done = f"Volume {intent.resource_id} was wiped"
    return long_calls.end(journal, intent, done, outcome, status=status)


@recovers(_OPERATION)
def recover_wipe(journal: Journal, intent: IntentRecord) -> str:
    """A part of the data may be overwritten: overwrite all of it."""
    if journal.store.get(VolumeRecord, intent.resource_id) is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    _run(journal, intent)
    return "finished"
