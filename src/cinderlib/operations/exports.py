"""Restores exports and mappings that the storage lost, from their records."""

from __future__ import annotations

from collections.abc import Sequence

from cinderlib.operations import encryption, volumes
from cinderlib.operations.journal import Journal
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Put, Query
from cinderlib.records import ConnectionRecord, IntentRecord, VolumeRecord, replace

OPERATION = "volume.restore_exports"


def restore(journal: Journal, volume_id: str) -> bool:
    """Export a volume again and map it for every host that it is connected to.

    Existing exports and mappings do not change. Connections keep their IDs; their connection data
    is updated if the storage returns other data.

    :returns: whether the volume has connections.
    :raises VolumeNotFound: there is no such volume.
    :raises DriverError: the storage failed; call it again to continue.
    """
    lock = volumes.lock_name(volume_id)
    with journal.locks.hold(lock):
        volume, (found, intents) = volumes.look(
            journal,
            volume_id,
            Query(ConnectionRecord, "volume_id", volume_id),
            Query(IntentRecord, "resource_id", volume_id),
        )
        journal.settle_found(intents, lock)
        connections = _attached(found)
        if not connections:
            return False
        intent, volume = journal.begin(OPERATION, lock, volume, before=volume)
        try:
            _restore(journal, volume, connections)
        except BaseException:
            journal.discard(intent)
            raise
        journal.finish(intent, f"The exports of volume {volume_id} were restored")
        return True


@recovers(OPERATION)
def recover_restore(journal: Journal, intent: IntentRecord) -> str:
    """Restore the rest: the hosts need it."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    found = journal.store.find(ConnectionRecord, {"volume_id": intent.resource_id})
    connections = _attached(found)
    if volume is None or not connections:
        journal.finish(intent, "No export is needed any more", outcome="undone")
        return "undone"
    _restore(journal, volume, connections)
    journal.finish(intent, f"The exports of volume {volume.id} were restored")
    return "finished"


def _attached(connections: Sequence[ConnectionRecord]) -> list[ConnectionRecord]:
    return [connection for connection in connections if connection.status == "attached"]


def _restore(
    journal: Journal, volume: VolumeRecord, connections: Sequence[ConnectionRecord]
) -> None:
    driver = journal.driver(volume.backend)
    exported = journal.keep(volume, driver.ensure_export(volume))
    for connection in connections:
        mapped = driver.initialize_connection(exported, connection)
        conn_info = encryption.with_key_of(connection, exported, mapped)
        if conn_info != connection.conn_info:
            journal.store.apply(Put(replace(connection, conn_info=conn_info)))
