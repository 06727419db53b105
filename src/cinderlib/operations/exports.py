"""Restores exports and mappings that the storage lost, from their records."""

from __future__ import annotations

from cinderlib.operations import volumes
from cinderlib.operations.journal import Journal
from cinderlib.persistence.base import Put
from cinderlib.records import ConnectionRecord, Secret, replace


def restore(journal: Journal, volume_id: str) -> bool:
    """Export a volume again and map it for every host that it is connected to.

    Existing exports and mappings do not change. Connections keep their IDs; their connection data
    is updated if the storage returns other data.

    :returns: whether the volume has connections.
    :raises VolumeNotFound: there is no such volume.
    :raises DriverError: the storage failed; call it again to continue.
    """
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume = volumes.get(journal, volume_id)
        found = journal.store.find(ConnectionRecord, {"volume_id": volume_id})
        connections = [connection for connection in found if connection.status == "attached"]
        if not connections:
            return False
        driver = journal.driver(volume.backend)
        exported = journal.keep(volume, driver.ensure_export(volume))
        for connection in connections:
            conn_info = Secret(driver.initialize_connection(exported, connection))
            if conn_info != connection.conn_info:
                journal.store.apply(Put(replace(connection, conn_info=conn_info)))
        journal.write(*journal.noted("volume.restore_exports", exported))
        return True
