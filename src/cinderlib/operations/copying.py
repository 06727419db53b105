"""Attaches volumes and snapshots to this host within an operation, to copy or wipe their data.

Encrypted volumes are not decrypted for that, so a copy has the same header and the same key; only a
copy with another encryption needs the decrypted data.
"""

from __future__ import annotations

from cinderlib.locking.process_identity import this_host
from cinderlib.node import file_format
from cinderlib.operations import attachments, snapshot_access
from cinderlib.operations.connect import connect
from cinderlib.operations.disconnect import disconnect
from cinderlib.operations.journal import Journal
from cinderlib.progress import Progress
from cinderlib.records import (
    AttachOptions,
    ConnectionRecord,
    SnapshotRecord,
    VolumeRecord,
    new_id,
)


def _connection(
    journal: Journal, volume: VolumeRecord, mode: str, id: str | None = None
) -> ConnectionRecord:
    """A connection of this host that is not stored yet."""
    driver = journal.driver(volume.backend)
    protocol = driver.stats().get("storage_protocol")
    connector = journal.host.connector(
        protocol if isinstance(protocol, str) else None,
        multipath=driver.info.multipath,
        enforce_multipath=driver.info.enforce_multipath,
    )
    return ConnectionRecord(
        id=id or new_id(),
        backend=volume.backend,
        volume_id=volume.id,
        connector=connector,
        attached_host=this_host(),
        attach_mode=mode,
        use_multipath=bool(connector.get("multipath")),
        scan_attempts=driver.info.scan_attempts,
    )


def attach_volume(
    journal: Journal,
    volume: VolumeRecord,
    *,
    mode: str = "rw",
    id: str | None = None,
    decrypt: bool = False,
) -> ConnectionRecord:
    """Attach a volume to this host; an existing attachment is used. Called within
    :meth:`Journal.whole_call`.

    :param id: of a new connection.
    :param decrypt: whether the device has the decrypted data of an encrypted volume.
    """
    there, _, made = connect(
        journal, _connection(journal, volume, mode, id), {}, to_attach=True, decrypt=decrypt
    )
    return _attached(journal, there, made=made)


def attach_snapshot(
    journal: Journal, snapshot: SnapshotRecord, volume: VolumeRecord
) -> ConnectionRecord:
    """Attach a snapshot to this host, read-only. Called within :meth:`Journal.whole_call`.

    :param volume: the volume of the snapshot.
    """
    connection = _connection(journal, volume, "ro")
    there, _, made = snapshot_access.connect(
        journal,
        *snapshot_access.temporary_volume(journal, snapshot, volume, connection),
        {},
        to_attach=True,
        decrypt=False,
    )
    return _attached(journal, there, made=made)


def _attached(journal: Journal, connection: ConnectionRecord, *, made: bool) -> ConnectionRecord:
    try:
        if connection.conn_info is not None:
            data = connection.conn_info.reveal().get("data")
            file_format.refuse_others(data, connection.volume_id)
        return attachments.attach(journal, connection.id, AttachOptions())[0]
    except BaseException:
        if made:
            disconnect(journal, connection.id, connection.volume_id)
        raise


def detach(journal: Journal, connection: ConnectionRecord) -> None:
    """Detach and disconnect a connection of this host. Called within
    :meth:`Journal.whole_call`."""
    attachments.detach(journal, connection.id, to_disconnect=True)
    disconnect(journal, connection.id, connection.volume_id, detached=True)


def detach_all(journal: Journal, volume_ids: list[str]) -> None:
    """Detach these volumes from this host."""
    for volume_id in volume_ids:
        here = {"volume_id": volume_id, "attached_host": this_host()}
        for connection in journal.store.find(ConnectionRecord, here):
            detach(journal, connection)


def copy(journal: Journal, source: ConnectionRecord, target: ConnectionRecord, about: str) -> None:
    """Copy the data between two attachments of this host.

    :param about: the ID of the resource for the progress.
    """

    def report(done: int, total: int) -> None:
        journal.tell(Progress(done, total, "bytes", about))

    journal.host.copy(source, target, report)


def wipe(journal: Journal, target: ConnectionRecord, about: str) -> None:
    """Overwrite the data of an attachment of this host with zeros.

    :param about: the ID of the resource for the progress.
    """

    def report(done: int, total: int) -> None:
        journal.tell(Progress(done, total, "bytes", about))

    journal.host.wipe(target, report)
