"""Attachments: attach and detach, the host half of a connection, and what spans both halves.

They change under a lock of the connection's own, so that a host that takes its time keeps no other
from the volume.
"""

from __future__ import annotations

from cinderlib import errors
from cinderlib.operations import connections
from cinderlib.operations.journal import Journal, recovers
from cinderlib.owner import this_host
from cinderlib.persistence.base import Put, Remove
from cinderlib.records import ConnectionRecord, IntentRecord, Secret, VolumeRecord, replace

#: Intents for a call that is made of both halves.
WHOLE = frozenset({"volume.attach", "volume.detach"})
#: What only the host that began it can settle.
ON_THE_HOST = WHOLE | {"connection.attach", "connection.detach"}


def attach(journal: Journal, connection_id: str) -> tuple[ConnectionRecord, bool]:
    """Make a device of a connection on this host.

    :returns: the record with its ``device``, and whether it was attached now.
    :raises InvalidConnection: it is attached on another host already.
    :raises NodeError: the host could not attach it; nothing of it is left.
    """
    lock = connections.host_lock_name(connection_id)
    with journal.locks.hold(lock):
        journal.settle(connection_id, lock)
        connection = connections.get(journal, connection_id)
        if connection.conn_info is None or connection.status != "attached":
            raise errors.InvalidConnection(
                f"Connection {connection_id} cannot be attached: the volume is not mapped for the"
                f" host, it is '{connection.status}'; connect it again",
                resource=connection_id,
            )
        volume = journal.store.get(VolumeRecord, connection.volume_id)
        already = connection.device is not None
        intent, attaching = journal.begin(
            "connection.attach", lock, connection, before=connection, data={"again": already}
        )
        try:
            # Asked again of a host that has it, attach finds the device that is there; after a
            # reboot there is none and it is made anew.
            device = journal.host.attach(attaching, volume)
        except BaseException as exc:
            if not already:
                _undo_attach(journal, intent, attaching, exc)
            else:
                journal.fail(intent, attaching, attaching)
            raise
        done = f"Volume {connection.volume_id} was attached"
        attached = replace(
            attaching,
            device=Secret(device),
            attached_host=connection.attached_host or this_host(),
        )
        whole = Remove(IntentRecord, connection_id)
        return journal.finish_with(intent, done, attaching, attached, whole), not already


def _undo_attach(
    journal: Journal, intent: IntentRecord, connection: ConnectionRecord, cause: BaseException
) -> None:
    try:
        # It may have failed after the device was there.
        _remove_device(journal, connection, force=True)
    except errors.CinderlibError as exc:
        # The intent stays, so that what is left on this host is not forgotten.
        cause.add_note(f"Undoing it failed too: {exc}")
        return
    journal.fail(intent, connection, connection)


def _remove_device(journal: Journal, connection: ConnectionRecord, *, force: bool) -> None:
    try:
        journal.host.detach(connection, force=force)
    except errors.InvalidDocument:
        # No host can have made a device of what it cannot read: it was refused untouched.
        if connection.device is not None:
            raise


@recovers("connection.attach")
def recover_attach(journal: Journal, intent: IntentRecord) -> str:
    """There may be a device that nobody knows of: remove it. One that was there before is kept, and
    what is missing of it made."""
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    if connection is not None and intent.data.get("again"):
        volume = journal.store.get(VolumeRecord, connection.volume_id)
        try:
            device = journal.host.attach(connection, volume)
        except errors.NodeError:
            journal.finish(intent, "It stays as it was")
            return "undone"
        attached = replace(connection, device=Secret(device))
        journal.finish_with(intent, "It was attached", connection, attached)
        return "finished"
    _detached(journal, intent, force=True)
    return "undone"


def detach(
    journal: Journal,
    connection_id: str,
    *,
    force: bool = False,
    ignore_errors: bool = False,
    to_disconnect: bool = False,
) -> tuple[ConnectionRecord, bool]:
    """Remove the device of a connection from this host; the volume stays mapped.

    :param force: also when data that is not written yet is lost by it.
    :param ignore_errors: with ``force``, whether errors are passed over.
    :param to_disconnect: whether the caller disconnects it next, and that is to be done by recovery
        when it never comes to it.
    :returns: the record without a device, and whether there was one.
    :raises NodeError: something of it is still on this host.
    """
    lock = connections.host_lock_name(connection_id)
    with journal.locks.hold(lock):
        journal.settle(connection_id, lock)
        connection = connections.get(journal, connection_id)
        if connection.device is None:
            return connection, False
        whole = (
            [Put(connections.whole_intent("volume.detach", connection), check=False)]
            if to_disconnect
            else []
        )
        intent, detaching = journal.begin(
            "connection.detach", lock, connection, *whole, before=connection, data={"force": force}
        )
        try:
            journal.host.detach(detaching, force=force, ignore_errors=ignore_errors)
        except BaseException:
            # The device stays recorded, so that it can be tried again.
            journal.fail(intent, detaching, detaching, Remove(IntentRecord, connection_id))
            raise
        done = f"Volume {connection.volume_id} was detached"
        detached = replace(detaching, device=None)
        return journal.finish_with(intent, done, detaching, detached), True


@recovers("connection.detach")
def recover_detach(journal: Journal, intent: IntentRecord) -> str:
    """The device may be half gone: go on to the end, unless it is in use again."""
    try:
        _detached(journal, intent, force=bool(intent.data.get("force")))
    except errors.DeviceInUse:
        journal.finish(intent, "It stays attached")
        return "undone"
    return "finished"


def _detached(journal: Journal, intent: IntentRecord, *, force: bool) -> None:
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    if connection is None:
        journal.finish(intent, "Nothing was done")
        return
    _remove_device(journal, connection, force=force)
    journal.finish_with(
        intent,
        f"Volume {connection.volume_id} was detached",
        connection,
        replace(connection, device=None),
    )


@recovers("volume.attach")
def recover_whole_attach(journal: Journal, intent: IntentRecord) -> str:
    """Nobody was told of it: undo both halves."""
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    if connection is not None:
        _remove_device(journal, connection, force=True)
    connections.settle_disconnected(journal, intent, "attach")
    return "undone"


@recovers("volume.detach")
def recover_whole_detach(journal: Journal, intent: IntentRecord) -> str:
    """Something of it may be done already: go on to the end, unless it is in use again."""
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    if connection is not None:
        try:
            _remove_device(journal, connection, force=False)
        except errors.DeviceInUse:
            journal.finish(intent, "It stays attached")
            return "undone"
    connections.settle_disconnected(journal, intent, "detach")
    return "finished"
