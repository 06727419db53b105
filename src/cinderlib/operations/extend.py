"""Extend a volume, and its device on this host."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cinderlib import errors
from cinderlib.locking.process_identity import this_host
from cinderlib.operations import capabilities, volumes
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import is_refusal, refuse_migrating, refuse_temporary
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Query
from cinderlib.persistence.host_key import host_of
from cinderlib.records import ConnectionRecord, IntentRecord, VolumeRecord, replace

LOG = logging.getLogger(__name__)


def extend(journal: Journal, volume_id: str, size: int) -> tuple[VolumeRecord, bool, int | None]:
    """Extend a volume, and its device if it is attached on this host.

    :param size: the new size in GiB.
    :returns: the record, whether the volume was extended by this call, and the size of this host's
        device in bytes, or ``None`` if the volume is not attached here.
    :raises OutOfRange: the volume is already larger.
    :raises InvalidVolume: it is connected, and the driver extends disconnected volumes only, or its
        status does not allow it. Storage and store are unchanged.
    :raises NodeError: the volume was extended, but this host's device was not.
    """
    with journal.locks.hold(volumes.lock_name(volume_id)):
        volume, (connected,) = volumes.look(
            journal, volume_id, Query(ConnectionRecord, "volume_id", volume_id, limit=1)
        )
        refuse_temporary(volume, "extended")
        refuse_migrating(volume, "extended")
        driver = journal.driver(volume.backend)
        if size < volume.size:
            raise errors.OutOfRange(
                f"Volume {volume_id} has {volume.size} GiB and cannot be made smaller ({size} GiB)",
                resource=volume_id,
            )
        if size == volume.size and volume.status != "error_extending":
            return volume, False, _let_see(journal, volume_id)
        if volume.status not in volumes.READABLE:
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be extended: it is '{volume.status}'",
                resource=volume_id,
            )
        if connected and not driver.extends_connected(volume):
            raise errors.InvalidVolume(
                f"Volume {volume_id} cannot be extended while it is connected, by its backend"
                f" {volume.backend!r}; disconnect it from {host_of(connected[0])} first",
                resource=volume_id,
            )
        capabilities.require(driver, "volume.extend", volume.backend, volume_id)
        volumes.refuse_impossible_size(driver, volume, size)
        settled = _settled_status(connected)
        intent, extending = journal.begin(
            "volume.extend",
            volumes.lock_name(volume_id),
            replace(volume, status="extending", previous_status=settled),
            before=volume,
            data={"size": size},
            arguments={"size": size, "from": volume.size},
        )
        try:
            grown = driver.extend_volume(extending, size)
        except BaseException as exc:
            failed = replace(extending, status="error_extending", previous_status=settled)
            if is_refusal(exc):
                before = {"status": volume.status, "previous_status": volume.previous_status}
                failed = replace(extending, **before)
            journal.fail(intent, extending, failed)
            raise
        ready = replace(grown, size=size, status=settled, previous_status=None)
        try:
            seen = _let_see(journal, volume_id)
        finally:
            done = f"Volume {volume_id} was extended to {size} GiB"
            written = journal.finish_with(intent, done, extending, ready)
        return written, True, seen


def _let_see(journal: Journal, volume_id: str) -> int | None:
    """Resize this host's device of a volume; returns its size in bytes."""
    where = {"volume_id": volume_id, "attached_host": this_host()}
    for connection in journal.store.find(ConnectionRecord, where):
        if connection.device is not None:
            return journal.host.extend(connection)
    return None


@recovers("volume.extend")
def recover_extend(journal: Journal, intent: IntentRecord) -> str:
    """The storage may have extended the volume: extend it again, or record that the size is
    unknown."""
    volume = journal.store.get(VolumeRecord, intent.resource_id)
    if volume is None:
        journal.finish(intent, "No change was made", outcome="undone")
        return "undone"
    size = intent.data["size"]
    settled = _settled_status(
        journal.store.find(ConnectionRecord, {"volume_id": volume.id}, limit=1)
    )
    try:
        grown = journal.driver(intent.backend).extend_volume(volume, size)
    except errors.DriverError:
        failed = replace(volume, status="error_extending", previous_status=settled)
        journal.fail(intent, volume, failed)
        raise
    try:
        _let_see(journal, volume.id)
    except errors.NodeError as exc:
        # Repeating the extend, or attaching the volume, resizes the device.
        LOG.warning(
            "Volume %s was extended, but its device on this host was not: %s", volume.id, exc
        )
    ready = replace(grown, size=size, status=settled, previous_status=None)
    journal.finish_with(intent, f"Volume {volume.id} was extended", volume, ready)
    return "finished"


def _settled_status(connected: Sequence[ConnectionRecord]) -> str:
    return "in-use" if connected else "available"
