"""Snapshots that are connected to hosts, read-only, through temporary volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.operations import (
    capabilities,
    connections,
    create_volume,
    delete_volume,
    temporary,
    volumes,
)
from cinderlib.operations.connect import connect as connect_volume
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal
from cinderlib.operations.settling import SNAPSHOT_CONNECT, recovers
from cinderlib.persistence.base import Put
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    SnapshotRecord,
    VolumeRecord,
    replace,
)


def _way(journal: Journal, snapshot: SnapshotRecord) -> str:
    driver = journal.driver(snapshot.backend)
    capabilities.require(driver, "snapshot.attach", snapshot.backend, snapshot.id)
    return "native" if capabilities.is_native(driver, "snapshot.attach") else "clone"


def temporary_volume(
    journal: Journal, snapshot: SnapshotRecord, source: VolumeRecord, connection: ConnectionRecord
) -> tuple[VolumeRecord, ConnectionRecord]:
    """The records, not stored yet, through which a host accesses a snapshot.

    :param source: the volume of the snapshot.
    :param connection: describes the host; not stored yet.
    :returns: the temporary volume, and the connection to it.
    :raises Unsupported: the driver can neither map snapshots nor create volumes from them.
    """
    id = temporary.id_of(snapshot.id, connection)
    volume = VolumeRecord(
        id=id,
        backend=snapshot.backend,
        size=snapshot.volume_size,
        host=source.host,
        name=temporary.name_of(snapshot.id),
        availability_zone=source.availability_zone,
        cluster_name=source.cluster_name,
        user_id=source.user_id,
        project_id=source.project_id,
        extra_specs=source.extra_specs,
        qos_specs=source.qos_specs,
        volume_type_id=None if source.volume_type_id is None else id,
        encryption_key_id=source.encryption_key_id,
        encryption=source.encryption,
        encryption_opened=source.encryption_opened,
        snapshot_id=snapshot.id,
        snapshot_access=_way(journal, snapshot),
    )
    return volume, replace(connection, volume_id=id, attach_mode="ro")


def connect(
    journal: Journal,
    volume: VolumeRecord,
    connection: ConnectionRecord,
    asked: Mapping[str, Any],
    *,
    to_attach: bool = False,
    decrypt: bool = True,
) -> tuple[ConnectionRecord, VolumeRecord, bool]:
    """Map a snapshot to a host: create the temporary volume, and connect it.

    The intent covers both steps, so a crash between them leaves no temporary volume. It is called
    within :meth:`Journal.whole_call`.

    :param volume: the temporary volume; not stored yet.
    :returns: as :func:`cinderlib.operations.connect.connect`.
    :raises InvalidSnapshot, SnapshotNotFound: the snapshot cannot be read.
    """
    _settle(journal, volume.id)
    intent = new_intent(
        SNAPSHOT_CONNECT,
        volume,
        volumes.lock_name(volume.id),
        data=journal.this_call(),
        arguments={"snapshot_id": volume.snapshot_id, "host": host_of(connection)},
    )
    journal.measure(intent)
    try:
        _create(journal, volume, intent)
        connected = connect_volume(journal, connection, asked, to_attach=to_attach, decrypt=decrypt)
    except BaseException as exc:
        if not isinstance(exc, errors.DriverInterrupted):
            _withdraw(journal, intent, exc)
        raise
    journal.finish(intent, f"Snapshot {volume.snapshot_id} was connected")
    return connected


def _create(journal: Journal, volume: VolumeRecord, intent: IntentRecord) -> None:
    """Create the temporary volume if it does not exist, and store the intent.

    They are stored together: an intent without a volume would not be found by the name of the
    volume, and remain until the next recovery.
    """
    asked = {"snapshot_id": volume.snapshot_id}
    there, made = create_volume.create(journal, volume, asked, Put(intent))
    if not made and there.status.startswith("error"):
        delete_volume.delete(journal, volume.id)
        _, made = create_volume.create(journal, volume, asked, Put(intent))
    if not made:
        journal.store.apply(Put(intent))


def _settle(journal: Journal, volume_id: str) -> None:
    """Settle an interrupted connect of the same host."""
    for each in journal.store.find(IntentRecord, {"resource_id": volume_id}):
        if each.operation == SNAPSHOT_CONNECT and not journal.whole_call_is_running(each):
            with journal.locks.hold(each.lock):
                if journal.store.get(IntentRecord, each.id) is not None:
                    journal.recover(each)


def _withdraw(journal: Journal, intent: IntentRecord, cause: BaseException) -> None:
    """Delete the temporary volume of a failed connect, unless another call has connected it."""
    try:
        with journal.locks.hold(intent.lock):
            if journal.store.get(IntentRecord, intent.id) is not None:
                recover_connect(journal, intent)
    except errors.CinderlibError as exc:
        cause.add_note(f"Deleting the temporary volume failed too, and is tried again later: {exc}")


@recovers(SNAPSHOT_CONNECT)
def recover_connect(journal: Journal, intent: IntentRecord) -> str:
    """Keep the temporary volume if it is connected, and delete it otherwise."""
    found = journal.store.find(ConnectionRecord, {"volume_id": intent.resource_id})
    connections.settle(journal, found)
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    done = "It was settled"
    if volume is None or volume.status in volumes.TRANSITIONAL:
        # The intent of that step settles it.
        journal.finish(intent, done, outcome="undone")
        return "undone"
    if journal.store.count(ConnectionRecord, {"volume_id": volume.id}):
        journal.finish(intent, done)
        return "finished"
    temporary.delete(journal, intent, "undone")
    return "undone"
