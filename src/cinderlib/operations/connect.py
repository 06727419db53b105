"""Connects a volume to a host: exports and maps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from cinderlib import errors
from cinderlib.operations import (
    connections,
    disconnect,
    encryption,
    long_calls,
    migration_targets,
    replication,
    streams,
    volumes,
    whole_call_intents,
)
from cinderlib.operations.intents import intents_of
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import is_the_drivers
from cinderlib.operations.settling import recovers
from cinderlib.operations.unmapping import unmap_after_failure, unmap_intent
from cinderlib.persistence.base import Change, Put, Query, Remove
from cinderlib.persistence.host_key import host_of, same_host
from cinderlib.records import ConnectionRecord, IntentRecord, Secret, VolumeRecord, now, replace


def connect(
    journal: Journal,
    connection: ConnectionRecord,
    asked: Mapping[str, Any],
    *,
    to_attach: bool = False,
    migrating: bool = False,
    decrypt: bool = True,
) -> tuple[ConnectionRecord, VolumeRecord, bool]:
    """Export and map a volume for the host that ``connection.connector`` describes.

    :param connection: the record to create; not stored yet.
    :param asked: the fields that the caller specified; an existing connection of that host must
        have the same values.
    :param to_attach: whether the caller attaches it next. If the attach never happens, recovery
        removes the connection.
    :param migrating: whether a volume that is not multiattach may stay connected to the host from
        which it migrates.
    :param decrypt: whether the host decrypts an encrypted volume.
    :returns: the stored record (the existing one if the host is already connected), the record of
        its volume, and whether the connection was created by this call.
    :raises InvalidVolume: the volume is connected to another host and neither multiattach nor
        migrating, its status does not allow it, or the connection of that host leads to the storage
        system before a failover.
    :raises InvalidConnector: the driver needs properties that the connector does not have.
    :raises AlreadyExists: the host is connected with other properties.
    """
    while True:
        there, volume, made = _connect(
            journal,
            connection,
            asked,
            to_attach=to_attach,
            migrating=migrating,
            decrypt=decrypt,
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
    decrypt: bool,
) -> tuple[ConnectionRecord, VolumeRecord, bool]:
    lock = volumes.lock_name(connection.volume_id)
    queries = (
        Query(ConnectionRecord, "volume_id", connection.volume_id, like=connection),
        connections.of_volume(connection.volume_id, limit=connections.ENOUGH),
        intents_of(connection.volume_id),
    )
    with journal.locks.hold(lock):
        volume, (alike, some, intents) = volumes.look(journal, connection.volume_id, *queries)
        if connections.settle(journal, [*alike, *some]):
            connections.settle_all(journal, volume.id)
            volume, (alike, some, intents) = volumes.look(journal, volume.id, *queries)
        driver = journal.driver(volume.backend)
        there = _same(connection, alike)
        # Also if this host is connected: its device may be that of an interrupted copy or wipe.
        is_long_call = long_calls.refuse_others(journal, volume.id, intents)
        storage = replication.storage_of(driver.info.active_backend_id, volume)
        if there is not None and there.status == "attached":
            _refuse_other_storage(there, storage)
            _refuse_different(there, asked)
            encryption.refuse_other_access(there, volume, decrypt=decrypt)
            return there, volume, False
        migration_targets.refuse_others(journal, volume, "connected")
        if volume.status not in volumes.READABLE and not is_long_call:
            raise errors.InvalidVolume(
                f"Volume {volume.id} cannot be connected: it is '{volume.status}'",
                resource=volume.id,
            )
        others = [other for other in some if there is None or other.id != there.id]
        if others and not (volume.multiattach or migrating or driver.info.live_migration):
            _refuse_another_instance(journal, volume, connection)
        for_host = encryption.for_host(journal.keys, volume, others) if decrypt else None
        driver.validate_connector(connection.connector)
        journal.retry_pending_unmaps(intents)
        if there is not None:
            # An earlier connect or disconnect of this host failed: replace its record.
            connection = replace(
                connection, id=there.id, version=there.version, created_at=there.created_at
            )
        intent, attaching = journal.begin(
            "connection.connect",
            lock,
            replace(connection, status="attaching"),
            arguments=_arguments(connection, migrating=migrating),
            volume=volume,
        )
        exported = None
        try:
            exported = driver.create_export(volume, attaching.connector)
            exported = journal.keep(volume, exported)
            conn_info = driver.initialize_connection(exported, attaching)
            if for_host is not None:
                conn_info = {**conn_info, "encryption": for_host}
        except BaseException as exc:
            _undo_connect(
                journal, intent, attaching, there, exc,
                last=not others, exported=exported is not None,
            )  # fmt: skip
            raise
        ready = replace(
            attaching,
            status="attached",
            conn_info=Secret(conn_info),
            attached_at=now(),
            storage=storage,
        )
        in_use = replace(
            exported,
            status="in-use",
            attach_status="attached",
            applied=streams.after_connect(exported, ready),
        )
        done = f"Volume {volume.id} was connected to {host_of(ready)}"
        changes: list[Change] = [Put(ready)]
        whole = None
        old = None if there is None else whole_call_intents.get(journal, ready.id)
        if old is not None:
            changes += journal.ended(old, whole_call_intents.settled_as(old), is_replaced=to_attach)
        if to_attach:
            operation = whole_call_intents.ATTACH
            whole = whole_call_intents.intent(journal, operation, ready, volume=volume)
            changes.append(Put(whole, check=False))
        used, written, *_ = journal.finish_with_records(
            intent, done, exported, in_use, *changes, continued_as=whole
        )
        return cast(ConnectionRecord, written), cast(VolumeRecord, used), True


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


def _refuse_other_storage(there: ConnectionRecord, storage: str | None) -> None:
    """A caller that repeats a connect after a failover must not get the data of the connection to
    the storage system before it: that one can still answer, and writes to it are lost."""
    if there.storage == storage:
        return
    raise errors.InvalidVolume(
        f"Volume {there.volume_id} is connected to {host_of(there)} on the storage system that it"
        " had before a failover or failback. Detach it there, disconnect it, and connect it again;"
        " if that storage system does not answer, disconnect it with force",
        resource=there.volume_id,
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


def _arguments(connection: ConnectionRecord, *, migrating: bool) -> dict[str, Any]:
    """The arguments of a connect, for the history."""
    return {
        "host": host_of(connection),
        "mode": "read-only" if connection.attach_mode == "ro" else None,
        "multipath": connection.use_multipath or None,
        "instance": connection.instance_uuid,
        "migrating": migrating or None,
    }


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
        done = "It was undone on the storage"
        journal.finish_with(intent, done, before, volume, *undone, outcome="failed")
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
    disconnect.settle_disconnected(journal, intent, "connect", "undone", remember=True)
    return "undone"
