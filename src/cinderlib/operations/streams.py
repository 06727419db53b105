"""Streams that are applied to volumes: which content a volume has, and whether it is complete.

The data is written through an attachment. A stream that is not complete is recorded before the
first byte is written, so that a volume never looks complete after an interruption. Writing the same
stream again gives the same content, so no other recovery of the data is needed.
"""

from __future__ import annotations

from functools import partial

from cinderlib import errors
from cinderlib.operations import long_calls, volumes
from cinderlib.operations.journal import Journal
from cinderlib.persistence.base import Query
from cinderlib.records import (
    AppliedStream,
    ConnectionRecord,
    IntentRecord,
    VolumeRecord,
    replace,
)

OPERATION = "volume.apply"
_GIB = 1024**3


def begin(
    journal: Journal,
    volume_id: str,
    connection_id: str,
    *,
    point: str,
    since: str | None,
    size: int,
) -> tuple[VolumeRecord, bool]:
    """Record that a program will write a stream on another host.

    :param connection_id: the ID of the connection through which it will be written. It does not
        exist yet.
    :param size: of the exported volume, in bytes.
    :returns: the stored record, and whether the stream must be written: not if the volume has its
        content already.
    :raises InvalidVolume: the volume does not have the content that the stream begins with, or is
        connected. Nothing changed.
    :raises InvalidInput: the volume is too small. Nothing changed.
    :raises Busy: a long call works on the volume. Nothing changed.
    """
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, begun = check(
            journal, volume_id, connection_id, point=point, since=since, size=size
        )
        if begun is None:
            return volume, False
        return journal.keep(volume, replace(volume, applied=begun)), True


def check(
    journal: Journal,
    volume_id: str,
    connection_id: str,
    *,
    point: str,
    since: str | None,
    size: int,
) -> tuple[VolumeRecord, AppliedStream | None]:
    """Check that a stream can be applied; the volume's lock is held.

    :returns: the volume, and the stream to record, or ``None`` if the volume has its content.
    """
    volume, (connections, intents) = volumes.look(
        journal,
        volume_id,
        Query(ConnectionRecord, "volume_id", volume_id, 1),
        Query(IntentRecord, "resource_id", volume_id),
    )
    long_calls.refuse_others(journal, volume_id, intents, "overwritten with a stream")
    applied = volume.applied
    if connections:
        raise _connected(volume)
    if volume.size * _GIB < size:
        raise errors.InvalidInput(
            f"Volume {volume_id} has {volume.size} GiB, but the stream is of a volume with"
            f" {size} bytes: extend it first",
            resource=volume_id,
        )
    if applied and applied.opened_by not in (None, applied.applied_by):
        # Another program could write to it.
        applied = None if applied.complete else replace(applied, resumable=False)
    if applied and applied.complete and applied.point == point:
        return volume, None
    if since is not None:
        _refuse_other_base(volume, applied, point, since)
    return volume, AppliedStream(point=point, since=since, applied_by=connection_id)


def _connected(volume: VolumeRecord) -> errors.InvalidVolume:
    refused = errors.InvalidVolume(
        f"Volume {volume.id} is connected to a host: disconnect it first", resource=volume.id
    )
    if volume.applied is not None and not volume.applied.complete:
        refused.add_note(
            f"Applying {volume.applied.point} was interrupted, or still runs. If it does not run,"
            " detach the volume, and apply that stream again"
        )
    return refused


def _refuse_other_base(
    volume: VolumeRecord, applied: AppliedStream | None, point: str, since: str
) -> None:
    if applied is None:
        why = "the content of the volume is not known, because no stream was applied, or it changed"
    elif applied.complete:
        if applied.point == since:
            return
        why = f"the volume has the content of {applied.point}"
    else:
        if applied.resumable and (applied.point, applied.since) == (point, since):
            return
        why = f"the volume is incomplete: applying {applied.point} was interrupted"
        if applied.resumable:
            why += ". Apply that stream again first"
    raise errors.InvalidVolume(
        f"The stream {point} has only the changes since {since}, but {why}. A stream with the whole"
        " content can be applied to any volume",
        resource=volume.id,
    )


def _unwritten(volume: VolumeRecord, connection_id: str) -> VolumeRecord:
    """The record of a volume to which a connection will not have written."""
    applied = volume.applied
    if applied is None or applied.opened_by != connection_id:
        return volume
    return replace(volume, applied=replace(applied, opened_by=applied.applied_by))


def finish(
    journal: Journal, volume_id: str, connection_id: str, *, written: bool = True
) -> VolumeRecord:
    """Record that a stream was written to its end, or that a connection was only used to read.

    :raises InvalidVolume: another process applies a stream, or writes to the volume.
    """
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume = volumes.get(journal, volume_id)
        if not written:
            return journal.keep(volume, _unwritten(volume, connection_id))
        complete = completed(volume, connection_id)
        note = partial(journal.noted, OPERATION, volume, arguments(complete))
        return journal.keep(volume, replace(volume, applied=complete), note)


def arguments(stream: AppliedStream) -> dict[str, str | None]:
    """The arguments for the history."""
    return {"point": stream.point, "since": stream.since}


def completed(volume: VolumeRecord, connection_id: str) -> AppliedStream:
    """The stream of a volume after all of it was written.

    :raises InvalidVolume: another process applies a stream, or writes to the volume.
    """
    applied = volume.applied
    if applied is None or {applied.applied_by, applied.opened_by} != {connection_id}:
        raise errors.InvalidVolume(
            f"Volume {volume.id} was connected to another host while a stream was applied: its"
            " content is not known",
            resource=volume.id,
        )
    return replace(applied, complete=True, applied_by=None, opened_by=None)


def after_connect(volume: VolumeRecord, connection: ConnectionRecord) -> AppliedStream | None:
    """The stream that a volume still has when a host can write to it."""
    applied = volume.applied
    if applied is None or connection.attach_mode == "ro":
        return applied
    if applied.opened_by in (None, applied.applied_by):
        return replace(applied, opened_by=connection.id)
    if applied.complete:
        return None
    return replace(applied, resumable=False, opened_by=connection.id)
