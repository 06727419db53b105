"""Intents of the compound operations ``Volume.attach`` and ``Volume.detach``.

``Volume.attach`` connects and attaches; ``Volume.detach`` detaches and disconnects. Each step holds
its own locks. The intent covers both steps, so recovery after a crash between them removes the
connection. It also replaces the intent of the step on the host, which saves two commits. While it
exists, there may be an unrecorded device (``volume.attach``), or a recorded device may not exist
(``volume.detach``). Its ID is the connection's, so deleting a connection also removes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from cinderlib import errors
from cinderlib.operations import volumes
from cinderlib.operations.history import Outcome
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import CONTINUED, Journal
from cinderlib.records import ConnectionRecord, IntentRecord, VolumeRecord, replace

ATTACH, DETACH = "volume.attach", "volume.detach"
WHOLE_CALLS = frozenset({ATTACH, DETACH})


def host_lock_name(connection_id: str) -> str:
    """The lock that is held to create or remove the device of a connection."""
    return f"connection:{connection_id}"


def intent(
    journal: Journal,
    operation: str,
    connection: ConnectionRecord,
    *,
    force: bool = False,
    volume: VolumeRecord | None = None,
) -> IntentRecord:
    """The intent of the compound operation that this thread executes.

    :param force: whether it detaches even if unwritten data is lost.
    :param volume: the volume, if it is known.
    """
    arguments = {
        "mode": "read-only" if connection.attach_mode == "ro" else None,
        "multipath": connection.use_multipath or None,
        "force": force or None,
    }
    return new_intent(
        operation,
        connection,
        volumes.lock_name(connection.volume_id),
        data={**journal.this_call(), **({"force": True} if force else {})},
        arguments=arguments,
        name="" if volume is None else volume.name,
        id=connection.id,
    )


def to_detach(
    journal: Journal, whole: IntentRecord | None, connection: ConnectionRecord, *, force: bool
) -> IntentRecord:
    """The intent of the detach that this thread executes. It continues an interrupted detach, which
    is in the history as finished then.

    :param whole: the intent of an incomplete compound operation on the connection.
    """
    new = intent(journal, DETACH, connection, force=force)
    if whole is None or whole.operation != DETACH or not is_interrupted(journal, whole):
        return new
    return replace(
        whole,
        owner=new.owner,
        data={**whole.data, **new.data, CONTINUED: True},
        arguments={**whole.arguments, **new.arguments},
    )


def is_interrupted(journal: Journal, whole: IntentRecord) -> bool:
    """Whether an incomplete compound operation is of an earlier call."""
    return not journal.is_this_call(whole) and not journal.whole_call_is_running(whole)


def get(journal: Journal, connection_id: str) -> IntentRecord | None:
    """The intent of a compound operation that is not complete."""
    return journal.store.get(IntentRecord, connection_id)


def among(found: Iterable[IntentRecord]) -> IntentRecord | None:
    """The same, among the intents of a connection."""
    return next((each for each in found if each.operation in WHOLE_CALLS), None)


def is_done(journal: Journal, connection_id: str) -> bool:
    """Whether no compound operation on a connection is incomplete."""
    return get(journal, connection_id) is None


def settled_as(whole: IntentRecord) -> Outcome:
    """How an incomplete compound operation ends if another operation settles it."""
    return "undone" if whole.operation == ATTACH else "finished"


def remove_device(journal: Journal, connection: ConnectionRecord, *, force: bool) -> None:
    """Remove the device of a connection from this host, recorded or not; its lock is held."""
    try:
        journal.host.detach(connection, force=force)
    except errors.InvalidDocument:
        # A host cannot attach a document that it cannot read, so it has no device.
        if connection.device is not None:
            raise


def settle(
    journal: Journal, whole: IntentRecord | None, connection: ConnectionRecord
) -> ConnectionRecord:
    """Settle the host's step of an incomplete compound operation; the connection's host lock is
    held. The intent stays.

    :param whole: the intent of that operation.
    :returns: the connection, without the device if that was removed.
    :raises NodeError: the device could not be removed completely.
    """
    if whole is None or not journal.is_on_this_host(whole):
        return connection
    if whole.operation == ATTACH and connection.device is None:
        remove_device(journal, connection, force=True)
    elif whole.operation == DETACH and connection.device is not None:
        try:
            remove_device(journal, connection, force=bool(whole.data.get("force")))
        except errors.DeviceInUse:
            return connection
        return replace(connection, device=None)
    return connection


def take_over(journal: Journal, connection: ConnectionRecord) -> ConnectionRecord | None:
    """Keep the connection of an incomplete compound operation for a caller of ``connect``: settle
    the step on this host and remove the intent.

    :returns: the connection, or ``None`` if it was disconnected meanwhile.
    :raises NodeError: the device could not be removed completely.
    """
    locks = volumes.lock_name(connection.volume_id), host_lock_name(connection.id)
    with journal.locks.hold(*locks):
        there = journal.store.get(ConnectionRecord, connection.id)
        whole = get(journal, connection.id)
        if there is None or whole is None:
            return there
        settled = settle(journal, whole, there)
        done = "It was settled on this host"
        return journal.finish_with(whole, done, there, settled, outcome=settled_as(whole))
