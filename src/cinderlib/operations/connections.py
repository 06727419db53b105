"""Connections: connect and disconnect, the controller half.

They change under the lock of the volume. A volume is exported when its first
connection is made and unexported when its last one goes; a host has one connection to a volume.

A call for both halves (``Volume.attach``) has an intent of its own besides those of its halves, so
that a crash between them leaves nothing connected that nobody attached. Its id is the connection's,
so that every end of a connection drops it. The host half is in :mod:`.attachments`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.operations import volumes
from cinderlib.operations.hosts import host_of, same_host
from cinderlib.operations.journal import Journal, lost, recovers
from cinderlib.operations.unmapping import forced, is_the_drivers, unmap, unmap_intent
from cinderlib.owner import this_host, this_process
from cinderlib.persistence.base import Put, Remove
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


def connect(
    journal: Journal,
    connection: ConnectionRecord,
    asked: Mapping[str, Any],
    *,
    to_attach: bool = False,
) -> tuple[ConnectionRecord, bool]:
    """Export and map a volume for the host that ``connection.connector`` describes.

    :param connection: the record to make; not stored yet.
    :param asked: the fields that the caller named; a connection of that host must agree in these.
    :param to_attach: whether the caller attaches it next, and it is to be undone when that is
        never done.
    :returns: the stored record, which for a host that is connected already is the one that is
        there, and whether it was made now.
    :raises InvalidVolume: the volume is connected to another host and is not multiattach, or is in
        no state to be used.
    :raises InvalidConnector: the driver needs more than the connector says.
    :raises AlreadyExists: the host is connected in another way.
    """
    lock = volumes.lock_name(connection.volume_id)
    with journal.locks.hold(lock):
        volume = volumes.get(journal, connection.volume_id)
        driver = journal.driver(volume.backend)
        others = _of_volume(journal, volume.id)
        there = _same(connection, others)
        if there is not None and there.status == "attached":
            _refuse_different(there, asked)
            if not to_attach and is_half_done(journal, there.id):
                journal.store.apply(Remove(IntentRecord, there.id))
            return there, False
        if volume.status not in volumes.READABLE:
            raise errors.InvalidVolume(
                f"Volume {volume.id} cannot be connected: it is '{volume.status}'",
                resource=volume.id,
            )
        others = [other for other in others if other is not there]
        if others and not volume.multiattach:
            raise errors.InvalidVolume(
                f"Volume {volume.id} is connected to {host_of(others[0])} and was not created"
                f" multiattach; disconnect it there before it is connected to"
                f" {host_of(connection)}",
                resource=volume.id,
            )
        driver.validate_connector(connection.connector)
        journal.try_owed(volume.id)
        if there is not None:
            # A connect or disconnect of this host that failed: take its place.
            connection = replace(
                connection, id=there.id, version=there.version, created_at=there.created_at
            )
        intent, attaching = journal.begin(
            "connection.connect", lock, replace(connection, status="attaching")
        )
        try:
            exported = journal.keep(volume, driver.create_export(volume, attaching.connector))
            conn_info = driver.initialize_connection(exported, attaching)
        except BaseException as exc:
            _undo_connect(journal, intent, attaching, others, exc)
            raise
        ready = replace(
            attaching, status="attached", conn_info=Secret(conn_info), attached_at=now()
        )
        in_use = replace(exported, status="in-use", attach_status="attached")
        done = f"Volume {volume.id} was connected to {host_of(ready)}"
        whole = (
            Put(whole_intent("volume.attach", ready), check=False)
            if to_attach
            else Remove(IntentRecord, ready.id)
        )
        journal.finish_with(intent, done, exported, in_use, Put(ready), whole)
        return get(journal, ready.id), True


def whole_intent(operation: str, connection: ConnectionRecord) -> IntentRecord:
    return IntentRecord(
        id=connection.id,
        operation=operation,
        backend=connection.backend,
        resource_id=connection.id,
        lock=volumes.lock_name(connection.volume_id),
        owner=this_process(),
    )


def is_half_done(journal: Journal, connection_id: str) -> bool:
    """Whether a call for both halves of a connection has not come to its end."""
    return journal.store.get(IntentRecord, connection_id) is not None


def get(journal: Journal, connection_id: str) -> ConnectionRecord:
    connection = journal.store.get(ConnectionRecord, connection_id)
    if connection is None:
        lost(errors.ConnectionNotFound, "connection", connection_id)
    return connection


def host_lock_name(connection_id: str) -> str:
    """The lock under which the device of a connection is made and removed."""
    return f"connection:{connection_id}"


def _gone(connection: ConnectionRecord) -> tuple[Remove, Remove]:
    return Remove(ConnectionRecord, connection.id), Remove(IntentRecord, connection.id)


def _of_volume(journal: Journal, volume_id: str) -> list[ConnectionRecord]:
    """The connections of a volume, interrupted operations settled; its lock is held."""
    found = journal.store.find(ConnectionRecord, {"volume_id": volume_id})
    lock = volumes.lock_name(volume_id)
    settled = [journal.settle(c.id, lock) for c in found if c.status in TRANSITIONAL]
    if any(settled):
        found = journal.store.find(ConnectionRecord, {"volume_id": volume_id})
    return found


def _same(
    connection: ConnectionRecord, others: Sequence[ConnectionRecord]
) -> ConnectionRecord | None:
    for other in others:
        if other.id == connection.id or same_host(other, connection):
            return other
    return None


def _refuse_different(there: ConnectionRecord, asked: Mapping[str, Any]) -> None:
    differ = {
        field: (getattr(there, field), value)
        for field, value in asked.items()
        # Who names no host is told apart by the connector alone.
        if getattr(there, field) != value
        and not (field == "attached_host" and not there.attached_host)
    }
    if differ:
        told = ", ".join(f"{f} is {a!r}, not {b!r}" for f, (a, b) in sorted(differ.items()))
        raise errors.AlreadyExists(
            f"Volume {there.volume_id} is connected to {host_of(there)} in another way: {told}",
            resource=there.id,
            differences=differ,
        )


def _undo_connect(
    journal: Journal,
    intent: IntentRecord,
    connection: ConnectionRecord,
    others: Sequence[ConnectionRecord],
    cause: BaseException,
) -> None:
    try:
        volume = volumes.get(journal, connection.volume_id)
        driver = journal.driver(volume.backend)
        after = unmap(driver, volume, connection, last=not others, force=True)
        gone = Remove(ConnectionRecord, connection.id)
        journal.finish_with(intent, "It was undone on the storage", volume, after, gone)
    except errors.StoreError as exc:
        cause.add_note(str(exc))
    except errors.CinderlibError as exc:
        # It may be mapped or not: the row stays, so that it can be disconnected or tried again.
        cause.add_note(f"Undoing it failed too: {exc}")
        journal.fail(intent, connection, replace(connection, status="error_attaching"))


@recovers("connection.connect")
def recover_connect(journal: Journal, intent: IntentRecord) -> str:
    """Nobody was told of the connection: undo."""
    settle_disconnected(journal, intent, "connect")
    return "undone"


def disconnect(journal: Journal, connection_id: str, *, force: bool = False) -> bool:
    """Unmap a volume from a host, and remove the export with the last connection.

    :param force: also when the driver says that it cannot.
    :returns: whether there was such a connection.
    :raises InvalidConnection: the volume is attached on this very host; detach it first.
    """
    found = journal.store.get(ConnectionRecord, connection_id)
    if found is None:
        return False
    lock = volumes.lock_name(found.volume_id)
    # The second keeps an attach or detach of it away, which don't change the volume.
    with journal.locks.hold(lock, host_lock_name(connection_id)):
        _settle_here(journal, connection_id, force=force)
        if force:
            _settle_or_give_up(journal, connection_id, lock)
        others = _of_volume(journal, found.volume_id)
        connection = next((c for c in others if c.id == connection_id), None)
        if connection is None:
            return False
        others.remove(connection)
        if connection.device is not None and not force and connection.attached_host == this_host():
            raise errors.InvalidConnection(
                f"Volume {connection.volume_id} is attached here; detach it before it is"
                " disconnected",
                resource=connection_id,
            )
        volume = volumes.get(journal, connection.volume_id)
        driver = journal.driver(volume.backend)
        journal.try_owed(volume.id)
        intent, detaching = journal.begin(
            "connection.disconnect",
            lock,
            replace(connection, status="detaching"),
            before=connection,
            data={"force": force},
        )
        owed: list[Put] = []
        try:
            after = unmap(driver, volume, detaching, last=not others, force=force)
        except BaseException as exc:
            if not force or not is_the_drivers(exc):
                journal.fail(intent, detaching, replace(detaching, status="error_detaching"))
                raise
            LOG.warning(
                "The storage may still let %s reach volume %s; it is tried again when the volume is"
                " next worked on, and by recover() and reconcile(): %s",
                *(host_of(connection), volume.id, exc),
            )
            owed.append(Put(unmap_intent(detaching)))
            after = forced(driver, volume, last=not others)
        done = f"Volume {volume.id} was disconnected from {host_of(connection)}"
        gone = _gone(connection)
        journal.finish_with(intent, done, volume, _without(after, others), *gone, *owed)
        return True


def _settle_or_give_up(journal: Journal, connection_id: str, lock: str) -> None:
    """An interrupted connect or disconnect that the driver cannot settle is not in the way of a
    forced one, which does the same and remembers what is left."""
    try:
        journal.settle(connection_id, lock)
    except errors.CinderlibError as exc:
        connection = journal.store.get(ConnectionRecord, connection_id)
        if isinstance(exc, errors.Busy) or not is_the_drivers(exc) or connection is None:
            raise
        found = journal.store.find(IntentRecord, {"resource_id": connection_id})
        journal.store.apply(
            Put(replace(connection, status="error_detaching")),
            *[Remove(IntentRecord, each.id) for each in found if each.lock == lock],
        )


def _settle_here(journal: Journal, connection_id: str, *, force: bool) -> None:
    """An attach or detach of this host that was interrupted; nobody knows of its device once the
    connection is gone."""
    lock, here = host_lock_name(connection_id), this_host()
    for intent in journal.store.find(IntentRecord, {"resource_id": connection_id}):
        if intent.lock != lock or intent.owner.host != here:
            continue
        try:
            journal.recover(intent)
        except errors.NodeError:
            if not force:
                raise


def _without(volume: VolumeRecord, others: Sequence[ConnectionRecord]) -> VolumeRecord:
    if others:
        return volume
    return replace(volume, status="available", attach_status="detached")


@recovers("connection.disconnect")
def recover_disconnect(journal: Journal, intent: IntentRecord) -> str:
    """The host may be cut off already: go on to the end."""
    settle_disconnected(journal, intent, "disconnect")
    return "finished"


def settle_disconnected(journal: Journal, intent: IntentRecord, what: str) -> None:
    connection = journal.store.get(ConnectionRecord, intent.resource_id)
    volume = (
        journal.store.get(VolumeRecord, connection.volume_id) if connection is not None else None
    )
    if connection is None or volume is None:
        journal.finish(intent, "Nothing was done", Remove(ConnectionRecord, intent.resource_id))
        return
    others = [
        c
        for c in journal.store.find(ConnectionRecord, {"volume_id": volume.id})
        if c.id != connection.id
    ]
    driver = journal.driver(intent.backend)
    after = unmap(driver, volume, connection, last=not others, force=True)
    done = f"The interrupted {what} of volume {volume.id} was settled on the storage"
    journal.finish_with(intent, done, volume, _without(after, others), *_gone(connection))
