"""Apply a stream to a volume: attach it to this host, write the stream, and detach it.

A program that writes on another host uses :mod:`cinderlib.operations.streams` alone.
"""

from __future__ import annotations

from collections.abc import Callable

from cinderlib import errors
from cinderlib.operations import copying, long_calls, streams, volumes
from cinderlib.operations.history import Outcome
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.settling import recovers
from cinderlib.records import ConnectionRecord, IntentRecord, VolumeRecord, new_id, replace


def apply(
    journal: Journal,
    volume_id: str,
    write: Callable[[ConnectionRecord], None],
    *,
    point: str,
    since: str | None,
    size: int,
) -> tuple[VolumeRecord, bool]:
    """Apply a stream through an attachment of this host; called within
    :meth:`Journal.whole_call`.

    :param write: writes the stream to the device of the attachment.
    :param size: of the exported volume, in bytes.
    :returns: the stored record, and whether the stream was written: not if the volume has its
        content already.
    :raises InvalidVolume, InvalidInput, Busy: as of
        :func:`cinderlib.operations.streams.begin`. Nothing changed.
    :raises NodeError: this host cannot attach the volume, or the device failed.
    """
    long_calls.finish_interrupted(journal, volume_id, streams.OPERATION)
    with journal.locks.hold(volumes.lock_name(volume_id)):
        connection_id = new_id()
        volume, begun = streams.check(
            journal, volume_id, connection_id, point=point, since=since, size=size
        )
        if begun is None:
            return volume, False
        data = {"point": point, "connection": connection_id}
        intent = long_calls.intent(
            journal, streams.OPERATION, volume, data, streams.arguments(begun)
        )
        volume = journal.begin_with(intent, replace(volume, applied=begun), before=volume)
    try:
        write(copying.attach_volume(journal, volume, id=connection_id))
        _complete(journal, volume_id, connection_id)
        copying.detach_all(journal, [volume_id])
    except BaseException as exc:
        if not was_interrupted(exc):
            _fail(journal, intent, exc)
        raise
    return _end(journal, intent, "done"), True


def _fail(journal: Journal, intent: IntentRecord, cause: BaseException) -> None:
    """Detach the volume, whose content is incomplete."""
    try:
        copying.detach_all(journal, [intent.resource_id])
        _end(journal, intent, "failed")
    except errors.CinderlibError as exc:
        cause.add_note(f"Detaching it failed too, and is tried again later: {exc}")


def _end(journal: Journal, intent: IntentRecord, outcome: Outcome) -> VolumeRecord:
    done = f"Stream {intent.data['point']} was applied to volume {intent.resource_id}"
    return long_calls.end(journal, intent, done, outcome)


@recovers(streams.OPERATION)
def recover_apply(journal: Journal, intent: IntentRecord) -> str:
    """The stream is not available here: detach the volume. If a part of the stream is missing, the
    record of the volume shows that, and the stream can be applied again."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    copying.detach_all(journal, [volume.id])
    applied = volume.applied
    if applied is not None and applied.complete and applied.point == intent.data["point"]:
        _end(journal, intent, "finished")
        return "finished"
    _end(journal, intent, "failed")
    return "undone"


def _complete(journal: Journal, volume_id: str, connection_id: str) -> None:
    """Record that all of a stream was written, before the volume is detached."""
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume = volumes.get(journal, volume_id)
        journal.keep(volume, replace(volume, applied=streams.completed(volume, connection_id)))
