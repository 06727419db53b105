"""Connections: connect and disconnect, on the controller.

They change under the lock of the volume. A volume is exported with its first
connection and unexported with its last one. A host has one connection to a volume.

The node's side is in :mod:`.attachments`. The intents of compound operations, which use both sides,
are in :mod:`.whole_call_intents`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, cast

from cinderlib import errors
from cinderlib.operations import volumes, whole_call_intents
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.journal import Journal, intents_of, recovers
from cinderlib.operations.refusals import is_the_drivers, status_after
from cinderlib.operations.unmapping import (
    settled_with,
    unmap,
    unmap_after_failure,
    unmap_intent,
)
from cinderlib.persistence.base import Change, Put, Query, Remove
from cinderlib.persistence.host_key import host_of, same_host
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    Secret,
    VolumeRecord,
    now,
    replace,
)

LOG = logging.getLogger(__name__)

TRANSITIONAL = frozenset({"attaching", "detaching"})
#: How many connections of a volume to read to know whether one is the last: it and another one.
ENOUGH = 2


def connect(
    journal: Journal,
    connection: ConnectionRecord,
    asked: Mapping[str, Any],
    *,
    to_attach: bool = False,
    migrating: bool = False,
) -> tuple[ConnectionRecord, VolumeRecord, bool]:
    """Export and map a volume for the host that ``connection.connector`` describes.

    :param connection: the record to create; not stored yet.
    :param asked: the fields that the caller specified; an existing connection of that host must
        have the same values.
    :param to_attach: whether the caller attaches it next. If the attach never happens, recovery
        removes the connection.
    :param migrating: whether a volume that is not multiattach may stay connected to the host from
        which it migrates.
    :returns: the stored record (the existing one if the host is already connected), the record of
        its volume, and whether the connection was created by this call.
    :raises InvalidVolume: the volume is connected to another host and neither multiattach nor
        migrating, or its status does not allow it.
    :raises InvalidConnector: the driver needs properties that the connector does not have.
    :raises AlreadyExists: the host is connected with other properties.
    """
    while True:
        there, volume, made = _connect(
            journal, connection, asked, to_attach=to_attach, migrating=migrating
        )
        if made or to_attach or whole_call_intents.is_done(journal, there.id):
            return there, volume, made
        taken = whole_call_intents.take_over(journal, there)
        if taken is not None:
            return taken, volume, False


def _connect(
    journal: Journal,
    connection: ConnectionRecord,
    asked: Mapping[str, Any],
    *,
    to_attach: bool,
    migrating: bool,
) -> tuple[ConnectionRecord, VolumeRecord, bool]:
    lock = volumes.lock_name(connection.volume_id)
    queries = (
        Query(ConnectionRecord, "volume_id", connection.volume_id, like=connection),
        _of_volume(connection.volume_id, limit=ENOUGH),
        intents_of(connection.volume_id),
    )
    with journal.locks.hold(lock):
        volume, (alike, some, intents) = volumes.look(journal, connection.volume_id, *queries)
        if _settle(journal, [*alike, *some]):
            _settle_all(journal, volume.id)
            volume, (alike, some, intents) = volumes.look(journal, volume.id, *queries)
        driver = journal.driver(volume.backend)
        there = _same(connection, alike)
        if there is not None and there.status == "attached":
            _refuse_different(there, asked)
            return there, volume, False
        if volume.status not in volumes.READABLE:
            raise errors.InvalidVolume(
                f"Volume {volume.id} cannot be connected: it is '{volume.status}'",
                resource=volume.id,
            )
        others = [other for other in some if there is None or other.id != there.id]
        if others and not (volume.multiattach or migrating or driver.info.live_migration):
            _refuse_another_instance(journal, volume, connection)
        driver.validate_connector(connection.connector)
        journal.retry_pending_unmaps(intents)
        if there is not None:
            # An earlier connect or disconnect of this host failed: replace its record.
            connection = replace(
                connection, id=there.id, version=there.version, created_at=there.created_at
            )
        intent, attaching = journal.begin(
            "connection.connect", lock, replace(connection, status="attaching")
        )
        exported = None
        try:
            exported = driver.create_export(volume, attaching.connector)
            exported = journal.keep(volume, exported)
            conn_info = driver.initialize_connection(exported, attaching)
        except BaseException as exc:
            _undo_connect(
                journal, intent, attaching, there, exc,
                last=not others, exported=exported is not None,
            )  # fmt: skip
            raise
        ready = replace(
            attaching, status="attached", conn_info=Secret(conn_info), attached_at=now()
        )
        in_use = replace(exported, status="in-use", attach_status="attached")
        done = f"Volume {volume.id} was connected to {host_of(ready)}"
        whole = (
            Put(whole_call_intents.intent(journal, whole_call_intents.ATTACH, ready), check=False)
            if to_attach
            else Remove(IntentRecord, ready.id)
        )
        used, written, *_ = journal.finish_with_records(
            intent, done, exported, in_use, Put(ready), whole
        )
        return cast(ConnectionRecord, written), cast(VolumeRecord, used), True


def get(journal: Journal, connection_id: str) -> ConnectionRecord:
    connection = journal.store.get(ConnectionRecord, connection_id)
    if connection is None:
        raise_not_found(errors.ConnectionNotFound, "connection", connection_id)
    return connection


def _gone(connection: ConnectionRecord) -> tuple[Remove, Remove]:
    return Remove(ConnectionRecord, connection.id), Remove(IntentRecord, connection.id)


def _of_volume(volume_id: str, limit: int | None = None) -> Query:
    return Query(ConnectionRecord, "volume_id", volume_id, limit)


def _settle(journal: Journal, found: Sequence[ConnectionRecord]) -> bool:
    """Settle the interrupted operations on connections of a volume, whose lock is held.

    :returns: whether there were any.
    """
    settled = [
        journal.settle(connection.id, volumes.lock_name(connection.volume_id))
        for connection in found
        if connection.status in TRANSITIONAL
    ]
    return any(settled)


def _settle_all(journal: Journal, volume_id: str) -> None:
    """Settle all connections of the volume: if one was interrupted, others may be too."""
    _settle(journal, journal.store.find(ConnectionRecord, {"volume_id": volume_id}))


def _same(
    connection: ConnectionRecord, others: Sequence[ConnectionRecord]
) -> ConnectionRecord | None:
    for other in others:
        if other.id == connection.id or same_host(other, connection):
            return other
    return None


def _refuse_another_instance(
    journal: Journal, volume: VolumeRecord, connection: ConnectionRecord
) -> None:
    """A volume that is not multiattach has one user. Cinder's rule: a connection for the instance
    that has the volume already is a live migration of that instance."""
    for other in journal.store.find(ConnectionRecord, {"volume_id": volume.id}):
        same = connection.instance_uuid and other.instance_uuid == connection.instance_uuid
        if not same and other.id != connection.id:
            raise errors.InvalidVolume(
                f"Volume {volume.id} is connected to {host_of(other)} and was not created"
                f" multiattach. Disconnect it there first; for a live migration to"
                f" {host_of(connection)}, connect it as migrating",
                resource=volume.id,
            )


def _refuse_different(there: ConnectionRecord, asked: Mapping[str, Any]) -> None:
    differ = {
        field: (getattr(there, field), value)
        for field, value in asked.items()
        # Without a host name, only the connector identifies the host.
        if getattr(there, field) != value
        and not (field == "attached_host" and not there.attached_host)
    }
    if differ:
        differing = ", ".join(f"{f} is {a!r}, not {b!r}" for f, (a, b) in sorted(differ.items()))
        raise errors.AlreadyExists(
            f"Volume {there.volume_id} is already connected to {host_of(there)} with other"
            f" properties: {differing}",
            resource=there.id,
            differences=differ,
        )


def _undo_connect(
    journal: Journal,
    intent: IntentRecord,
    connection: ConnectionRecord,
    failed_before: ConnectionRecord | None,
    cause: BaseException,
    *,
    last: bool,
    exported: bool,
) -> None:
    """Undo a connect whose driver call failed, as Cinder's manager does. If that fails, a pending
    unmap is recorded, which does not block the volume.

    :param failed_before: the failed connection of the host that this connect replaces; it keeps
        its status, because its mapping may still exist.
    :param last: whether no other host needs the export.
    :param exported: whether create_export() succeeded.
    """
    if isinstance(cause, errors.DriverInterrupted):
        return  # the driver cannot be asked now; recovery undoes it
    mapped = exported and _outcome_is_unknown(cause)
    exported = exported or _outcome_is_unknown(cause)
    undone: list[Change] = []
    try:
        volume = before = volumes.get(journal, connection.volume_id)
        driver = journal.driver(volume.backend)
        if failed_before is not None:
            undone.append(Put(replace(connection, status=failed_before.status)))
        else:
            undone.append(Remove(ConnectionRecord, connection.id))
            try:
                volume = unmap_after_failure(
                    driver, volume, connection, mapped=mapped, exported=exported, last=last
                )
            except errors.CinderlibError as exc:
                if not is_the_drivers(exc):
                    raise
                cause.add_note(f"Undoing it failed too, and is tried again later: {exc}")
                undone.append(Put(unmap_intent(connection, mapped=mapped)))
        journal.finish_with(intent, "It was undone on the storage", before, volume, *undone)
    except errors.CinderlibError as exc:
        cause.add_note(str(exc))


def _outcome_is_unknown(error: BaseException) -> bool:
    """Whether the storage may have executed the request: the driver timed out or was
    interrupted."""
    return not isinstance(error, errors.CinderlibError) or isinstance(error, errors.DriverTimeout)


@recovers("connection.connect")
def recover_connect(journal: Journal, intent: IntentRecord) -> str:
    """No caller received the connection: undo it. It may not be mapped, and drivers can fail to
    unmap in that case. A failure is recorded as a pending unmap and does not block the volume."""
    settle_disconnected(journal, intent, "connect", remember=True)
    return "undone"


def disconnect(
    journal: Journal,
    connection_id: str,
    volume_id: str | None = None,
    *,
    force: bool = False,
    detached: bool = False,
) -> VolumeRecord | None:
    """Unmap a volume from a host, and remove the export with the last connection.

    :param volume_id: the ID of the volume, if it is known.
    :param force: remove the connection even if the driver fails.
    :param detached: whether the compound operation that this call belongs to has just detached it.
    :returns: the updated volume, or ``None`` if the connection does not exist.
    :raises InvalidConnection: the volume is attached on this host; detach it first.
    """
    if volume_id is None:
        found = journal.store.get(ConnectionRecord, connection_id)
        if found is None:
            return None
        volume_id = found.volume_id
    lock = volumes.lock_name(volume_id)
    queries = (
        Query(ConnectionRecord, "id", connection_id),
        _of_volume(volume_id, limit=ENOUGH),
        intents_of(connection_id),
        intents_of(volume_id),
    )
    # The second lock excludes an attach or detach of it, which do not hold the volume's lock.
    with journal.locks.hold(lock, whole_call_intents.host_lock_name(connection_id)):
        volume, (here, some, of_connection, intents) = volumes.find(journal, volume_id, *queries)
        if here and here[0].volume_id != volume_id:
            return None
        settled = False
        if of_connection:
            settled = _settle_here(journal, of_connection, force=force)
            if force:
                settled |= _settle_or_give_up(journal, connection_id, lock)
        if _settle(journal, [*here, *some]) or settled:
            _settle_all(journal, volume_id)
            volume, (here, some, _, intents) = volumes.find(journal, volume_id, *queries)
        if not here:
            return None
        stored: ConnectionRecord = here[0]
        # It may not be mapped, and drivers can fail to unmap in that case.
        force = force or stored.status == "error_attaching"
        connection = _settled_whole(journal, stored, of_connection, detached=detached, force=force)
        others = [other for other in some if other.id != connection_id]
        if not force and journal.host.has(connection):
            raise errors.InvalidConnection(
                f"Volume {connection.volume_id} is attached here; detach it before it is"
                " disconnected",
                resource=connection_id,
            )
        if volume is None:
            raise_not_found(errors.VolumeNotFound, "volume", volume_id)
        driver = journal.driver(volume.backend)
        journal.retry_pending_unmaps(intents)
        intent, detaching = journal.begin(
            "connection.disconnect",
            lock,
            replace(connection, status="detaching"),
            before=stored,
            data={"force": force},
        )
        unmap_changes: list[Change] = []
        try:
            after = unmap(driver, volume, detaching, last=not others, force=force)
        except BaseException as exc:
            if not force or not is_the_drivers(exc):
                status = status_after(exc, stored.status, "error_detaching")
                journal.fail(intent, detaching, replace(detaching, status=status))
                raise
            _warn_left(connection, exc)
            unmap_changes.append(Put(unmap_intent(detaching)))
            after = volume if others else volumes.remove_leftover_export(driver, volume)
        else:
            unmap_changes += settled_with(intents, detaching)
        done = f"Volume {volume.id} was disconnected from {host_of(connection)}"
        gone = _gone(connection)
        return journal.finish_with(
            intent, done, volume, _without(after, others), *gone, *unmap_changes
        )


def _settle_or_give_up(journal: Journal, connection_id: str, lock: str) -> bool:
    """Settle an interrupted connect or disconnect, or drop it if the driver fails: the forced
    disconnect that follows does the same and records a pending unmap.

    :returns: whether an operation was interrupted.
    """
    try:
        return journal.settle(connection_id, lock)
    except errors.CinderlibError as exc:
        connection = journal.store.get(ConnectionRecord, connection_id)
        if isinstance(exc, errors.Busy) or not is_the_drivers(exc) or connection is None:
            raise
        found = journal.store.find(IntentRecord, {"resource_id": connection_id})
        journal.store.apply(
            Put(replace(connection, status="error_detaching")),
            *[Remove(IntentRecord, each.id) for each in found if each.lock == lock],
        )
        return True


def _settle_here(journal: Journal, found: Sequence[IntentRecord], *, force: bool) -> bool:
    """Settle an interrupted attach or detach of this host, before the connection is deleted: only
    the connection leads to its device.

    :param found: the intents of the connection.
    :returns: whether an operation was interrupted.
    """
    settled = False
    for intent in found:
        lock = whole_call_intents.host_lock_name(intent.resource_id)
        if intent.lock != lock or not journal.is_on_this_host(intent):
            continue
        settled = True
        try:
            journal.recover(intent)
        except errors.NodeError:
            if not force:
                raise
    return settled


def _settled_whole(
    journal: Journal,
    connection: ConnectionRecord,
    found: Sequence[IntentRecord],
    *,
    detached: bool,
    force: bool,
) -> ConnectionRecord:
    """Settle a compound operation, of which this disconnect may be the last step.

    :param detached: whether that operation has just detached the device. Another process may have
        attached it since, and has then removed the intent.
    """
    whole = whole_call_intents.among(found)
    if detached and whole is not None and whole.operation == whole_call_intents.DETACH:
        return replace(connection, device=None)
    try:
        return whole_call_intents.settle(journal, whole, connection)
    except errors.NodeError:
        if not force:
            raise
        return connection


def _without(volume: VolumeRecord, others: Sequence[ConnectionRecord]) -> VolumeRecord:
    if others:
        return volume
    return replace(volume, status="available", attach_status="detached")


@recovers("connection.disconnect")
def recover_disconnect(journal: Journal, intent: IntentRecord) -> str:
    """The host may be unmapped already: complete the disconnect."""
    settle_disconnected(journal, intent, "disconnect")
    return "finished"


def settle_disconnected(
    journal: Journal, intent: IntentRecord, what: str, *, remember: bool = False
) -> None:
    """Unmap the connection of an interrupted operation and remove its record.

    :param what: the operation, for the error if the result cannot be recorded.
    :param remember: whether to record a pending unmap if the driver fails, instead of raising the
        error.
    """
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    volume = (
        journal.store.get(VolumeRecord, connection.volume_id) if connection is not None else None
    )
    if connection is None or volume is None:
        journal.finish(intent, "No change was made", Remove(ConnectionRecord, intent.resource_id))
        return
    (some,) = journal.store.query(_of_volume(volume.id, limit=ENOUGH))
    others = [other for other in some if other.id != connection.id]
    driver = journal.driver(intent.backend)
    left: list[Put] = []
    try:
        after = unmap(driver, volume, connection, last=not others, force=True)
    except errors.CinderlibError as exc:
        if not remember or not is_the_drivers(exc):
            raise
        _warn_left(connection, exc)
        left.append(Put(unmap_intent(connection)))
        after = volume if others else volumes.remove_leftover_export(driver, volume)
    done = f"The interrupted {what} of volume {volume.id} was settled on the storage"
    journal.finish_with(intent, done, volume, _without(after, others), *_gone(connection), *left)


def _warn_left(connection: ConnectionRecord, error: BaseException) -> None:
    LOG.warning(
        "The storage may still let %s reach volume %s; it is tried again when the volume is"
        " next worked on, and by recover() and reconcile(): %s",
        *(host_of(connection), connection.volume_id, error),
    )
