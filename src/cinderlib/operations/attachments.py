"""Attachments: attach and detach on this host, and recovery of compound operations.

They hold the lock of the connection, not of the volume, so a slow host does not block other users
of the volume.
"""

from __future__ import annotations

from cinderlib import errors
from cinderlib.locking.process_identity import this_host
from cinderlib.operations import connections, disconnect, encryption, whole_call_intents
from cinderlib.operations.history import Outcome
from cinderlib.operations.intents import intents_of
from cinderlib.operations.journal import Journal
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Query
from cinderlib.records import (
    AttachOptions,
    ConnectionRecord,
    IntentRecord,
    Secret,
    VolumeRecord,
    replace,
)

#: Operations that can only be settled on the host that started them.
ON_THE_HOST = whole_call_intents.WHOLE_CALLS | {"connection.attach", "connection.detach"}


def attach(
    journal: Journal, connection_id: str, options: AttachOptions
) -> tuple[ConnectionRecord, bool]:
    """Attach a connection on this host, which creates its device.

    :param options: for the device.
    :returns: the record with its ``device``, and whether it was attached by this call.
    :raises InvalidConnection: it is already attached on another host.
    :raises NodeError: the host could not attach it; the device was removed again.
    """
    lock = whole_call_intents.host_lock_name(connection_id)
    with journal.locks.hold(lock):
        connection, whole = _settled(journal, connection_id)
        if connection.conn_info is None or connection.status != "attached":
            raise errors.InvalidConnection(
                f"Connection {connection_id} cannot be attached: the volume is not mapped for the"
                f" host, it is '{connection.status}'; connect it again",
                resource=connection_id,
            )
        volume = journal.store.get(VolumeRecord, connection.volume_id)
        already = connection.device is not None
        if already and whole is None and journal.host.attached(connection, volume, options):
            return connection, False
        ours = whole if not already and _is_of_this_call(journal, whole) else None
        if ours is not None:
            intent, attaching = ours, connection
        else:
            data = {"again": already, **journal.on_this_host()}
            intent, attaching = journal.begin(
                "connection.attach",
                lock,
                connection,
                before=connection,
                data=data,
                arguments={"link": options.link, "cgroup": options.cgroup},
                volume=volume,
            )
        try:
            # If it is attached already, this finds the device, or creates it again after a reboot.
            keyed = encryption.with_key(journal.keys, attaching)
            device = journal.host.attach(keyed, volume, options)
        except BaseException as exc:
            # A compound operation disconnects next, and its intent stays until then.
            if (already or _is_removed(journal, attaching, exc)) and ours is None:
                journal.fail(intent, attaching, attaching)
            raise
        done = f"Volume {connection.volume_id} was attached"
        attached = replace(
            attaching,
            device=Secret(device),
            conn_info=encryption.opened(attaching.conn_info),
            attached_host=connection.attached_host or this_host(),
        )
        # An earlier compound operation was interrupted; this attach completes it.
        rest = journal.ended(whole, "finished") if whole is not None and ours is None else ()
        return journal.finish_with(intent, done, attaching, attached, *rest), not already


def _settled(journal: Journal, connection_id: str) -> tuple[ConnectionRecord, IntentRecord | None]:
    """The connection, after its interrupted attach or detach is settled; its lock is held.

    :returns: also the intent of a compound operation that is not complete.
    :raises ConnectionNotFound: it does not exist.
    """
    here, intents = journal.store.query(
        Query(ConnectionRecord, "id", connection_id), intents_of(connection_id)
    )
    whole = whole_call_intents.among(intents)
    if journal.settle_found(intents, whole_call_intents.host_lock_name(connection_id)) or not here:
        return connections.get(journal, connection_id), whole
    connection: ConnectionRecord = here[0]
    return connection, whole


def _is_of_this_call(journal: Journal, whole: IntentRecord | None) -> bool:
    """Whether this attach is part of a compound operation, and uses that operation's intent."""
    return (
        whole is not None
        and whole.operation == whole_call_intents.ATTACH
        and journal.is_this_call(whole)
    )


def _is_removed(journal: Journal, connection: ConnectionRecord, cause: BaseException) -> bool:
    """Remove the device of a failed attach, which may have failed after creating it.

    :returns: whether it was removed. If not, the intent must stay in the store.
    """
    try:
        whole_call_intents.remove_device(journal, connection, force=True)
    except errors.CinderlibError as exc:
        cause.add_note(f"Undoing it failed too: {exc}")
        return False
    return True


@recovers("connection.attach")
def recover_attach(journal: Journal, intent: IntentRecord) -> str:
    """Remove the device, which no record mentions. If the connection was attached before, keep or
    restore its device."""
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    if connection is not None and intent.data.get("again"):
        volume = journal.store.get(VolumeRecord, connection.volume_id)
        try:
            keyed = encryption.with_key(journal.keys, connection)
            device = journal.host.attach(keyed, volume, AttachOptions())
        except (errors.NodeError, errors.KeyManagerError):
            journal.finish(intent, "It stays as it was", outcome="undone")
            return "undone"
        attached = replace(
            connection,
            device=Secret(device),
            conn_info=encryption.opened(connection.conn_info),
        )
        journal.finish_with(intent, "It was attached", connection, attached)
        return "finished"
    _detached(journal, intent, "undone", force=True)
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

    :param force: detach even if unwritten data is lost.
    :param ignore_errors: with ``force``, whether errors are ignored.
    :param to_disconnect: whether the caller disconnects it next. If the disconnect never happens,
        recovery completes it.
    :returns: the record without a device, and whether it had one.
    :raises NodeError: the device could not be removed completely.
    """
    lock = whole_call_intents.host_lock_name(connection_id)
    with journal.locks.hold(lock):
        connection, whole = _settled(journal, connection_id)
        if connection.device is None:
            whole_call_intents.settle(journal, whole, connection)
            return connection, False
        if to_disconnect:
            intent = whole_call_intents.to_detach(journal, whole, connection, force=force)
            detaching = journal.begin_with(intent, connection, before=connection)
        else:
            data = {"force": force, **journal.on_this_host()}
            intent, detaching = journal.begin(
                "connection.detach",
                lock,
                connection,
                before=connection,
                data=data,
                arguments={"force": force or None},
            )
        try:
            journal.host.detach(detaching, force=force, ignore_errors=ignore_errors)
        except BaseException:
            # The device stays recorded, so the detach can be repeated.
            journal.fail(intent, detaching, detaching)
            raise
        detached = replace(detaching, device=None)
        if to_disconnect:
            # The disconnect records the result, and the intent stays until then.
            return detached, True
        done = f"Volume {connection.volume_id} was detached"
        return journal.finish_with(intent, done, detaching, detached), True


@recovers("connection.detach")
def recover_detach(journal: Journal, intent: IntentRecord) -> str:
    """The device may be partly removed: complete the detach, unless it is in use again."""
    try:
        _detached(journal, intent, "finished", force=bool(intent.data.get("force")))
    except errors.DeviceInUse:
        journal.finish(intent, "It stays attached", outcome="undone")
        return "undone"
    return "finished"


def _detached(journal: Journal, intent: IntentRecord, outcome: Outcome, *, force: bool) -> None:
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    if connection is None:
        journal.finish(intent, "No change was made", outcome=outcome)
        return
    whole_call_intents.remove_device(journal, connection, force=force)
    journal.finish_with(
        intent,
        f"Volume {connection.volume_id} was detached",
        connection,
        replace(connection, device=None),
        outcome=outcome,
    )


@recovers("volume.attach")
def recover_whole_attach(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the device: detach and disconnect."""
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    if connection is not None:
        whole_call_intents.remove_device(journal, connection, force=True)
    disconnect.settle_disconnected(journal, intent, "attach", "undone")
    return "undone"


@recovers("volume.detach")
def recover_whole_detach(journal: Journal, intent: IntentRecord) -> str:
    """The device may be detached already: complete the operation, unless it is in use again."""
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    if connection is not None:
        try:
            force = bool(intent.data.get("force"))
            whole_call_intents.remove_device(journal, connection, force=force)
        except errors.DeviceInUse:
            journal.finish(intent, "It stays attached", outcome="undone")
            return "undone"
    disconnect.settle_disconnected(journal, intent, "detach", "finished")
    return "finished"
