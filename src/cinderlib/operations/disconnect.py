"""Disconnects a volume from a host: unmaps it, and removes the export with the last connection."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

from cinderlib import errors
from cinderlib.operations import connections, encryption, temporary, volumes, whole_call_intents
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.history import Outcome
from cinderlib.operations.intents import intents_of
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import is_the_drivers, status_after
from cinderlib.operations.settling import recovers
from cinderlib.operations.unmapping import remove_leftover_export, settled_with, unmap, unmap_intent
from cinderlib.persistence.base import Change, Put, Query, Remove
from cinderlib.persistence.host_key import host_of
from cinderlib.records import ConnectionRecord, IntentRecord, VolumeRecord, replace

LOG = logging.getLogger(__name__)


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
        connections.of_volume(volume_id, limit=connections.ENOUGH),
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
        if connections.settle(journal, [*here, *some]) or settled:
            connections.settle_all(journal, volume_id)
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
            arguments={"host": host_of(connection), "force": force or None},
            volume=volume,
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
            after = volume if others else remove_leftover_export(driver, volume)
        else:
            unmap_changes += settled_with(journal, intents, detaching)
        done = f"Volume {volume.id} was disconnected from {host_of(connection)}"
        released = temporary.release(volume, others)
        # A store without transactions may fail between them: new intents are written first.
        gone = [*released, *unmap_changes, Remove(ConnectionRecord, connection.id)]
        whole = whole_call_intents.among(of_connection)
        is_step = whole is not None and (
            journal.is_this_call(whole)
            or (detached and whole.operation == whole_call_intents.DETACH)
        )
        if whole is not None:
            # An attach that disconnects has failed.
            is_failed = is_step and whole.operation == whole_call_intents.ATTACH
            settles = not is_step or whole_call_intents.is_interrupted(journal, whole)
            how = whole_call_intents.settled_as(whole) if settles else "done"
            gone += journal.ended(whole, "failed" if is_failed else how, name=volume.name)
        disconnected = journal.finish_with(
            intent,
            done,
            volume,
            _without(after, connection, others),
            *gone,
            continued_as=whole if is_step else None,
        )
        temporary.complete(journal, released)
        return disconnected


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
        ended = [journal.ended(each, "failed") for each in found if each.lock == lock]
        failed = Put(replace(connection, status="error_detaching"))
        journal.write(failed, *itertools.chain(*ended))
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


@recovers("connection.disconnect")
def recover_disconnect(journal: Journal, intent: IntentRecord) -> str:
    """The host may be unmapped already: complete the disconnect."""
    settle_disconnected(journal, intent, "disconnect", "finished")
    return "finished"


def settle_disconnected(
    journal: Journal,
    intent: IntentRecord,
    what: str,
    outcome: Outcome,
    *,
    remember: bool = False,
) -> None:
    """Unmap the connection of an interrupted operation and remove its record.

    :param what: the operation, for the error if the result cannot be recorded.
    :param outcome: for the history.
    :param remember: whether to record a pending unmap if the driver fails, instead of raising the
        error.
    """
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    volume = (
        journal.store.get(VolumeRecord, connection.volume_id) if connection is not None else None
    )
    if connection is None or volume is None:
        gone = Remove(ConnectionRecord, intent.resource_id)
        journal.finish(intent, "No change was made", gone, outcome=outcome)
        return
    (some,) = journal.store.query(connections.of_volume(volume.id, limit=connections.ENOUGH))
    others = [other for other in some if other.id != connection.id]
    driver = journal.driver(intent.backend)
    released = temporary.release(volume, others)
    left: list[Change] = [*released]
    try:
        after = unmap(driver, volume, connection, last=not others, force=True)
    except errors.CinderlibError as exc:
        if not remember or not is_the_drivers(exc):
            raise
        _warn_left(connection, exc)
        left.append(Put(unmap_intent(connection)))
        after = volume if others else remove_leftover_export(driver, volume)
    left.append(Remove(ConnectionRecord, connection.id))
    done = f"The interrupted {what} of volume {volume.id} was settled on the storage"
    whole = whole_call_intents.get(journal, connection.id)
    if whole is not None and whole.id != intent.id:
        left += journal.ended(whole, whole_call_intents.settled_as(whole))
    journal.finish_with(
        intent, done, volume, _without(after, connection, others), *left, outcome=outcome
    )
    temporary.complete(journal, released)


def _without(
    volume: VolumeRecord, connection: ConnectionRecord, others: Sequence[ConnectionRecord]
) -> VolumeRecord:
    if encryption.is_opened(connection):
        volume = replace(volume, encryption_opened=True)
    if others:
        return volume
    status = "available" if volume.snapshot_access is None else "deleting"
    return replace(volume, status=status, attach_status="detached")


def _warn_left(connection: ConnectionRecord, error: BaseException) -> None:
    LOG.warning(
        "The storage may still let %s reach volume %s; it is tried again when the volume is"
        " next worked on, and by recover() and reconcile(): %s",
        *(host_of(connection), connection.volume_id, error),
    )
