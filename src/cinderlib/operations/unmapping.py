"""Unmaps volumes on the storage; unmaps that fail are recorded as pending and retried."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.operations import volumes
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal
from cinderlib.operations.refusals import is_the_drivers
from cinderlib.operations.settling import recovers
from cinderlib.persistence.base import Change, Query
from cinderlib.persistence.host_key import host_of, same_ports
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    VolumeRecord,
    from_builtins,
    replace,
    to_builtins,
)

LOG = logging.getLogger(__name__)


def unmap(
    driver: Driver,
    volume: VolumeRecord,
    connection: ConnectionRecord,
    *,
    last: bool,
    force: bool = False,
) -> VolumeRecord:
    """Unmap a volume, in the order of Cinder's manager."""
    driver.terminate_connection(volume, connection, force=force)
    return driver.remove_export(volume) if last else volume


def unmap_after_failure(
    driver: Driver,
    volume: VolumeRecord,
    connection: ConnectionRecord,
    *,
    mapped: bool,
    exported: bool = True,
    last: bool,
) -> VolumeRecord:
    """Undo a failed connect on the storage.

    Cinder's manager only removes the export. The driver may have mapped the host before it failed,
    so this also unmaps it. An error is ignored if there is probably no mapping: some drivers, for
    example LIO, fail to unmap a host that is not mapped.

    :param mapped: whether the host may be mapped because the driver timed out or was interrupted.
        Then an error is raised.
    :param exported: whether there may be an export, and with it a mapping.
    :param last: whether no other host needs the export.
    :raises CinderlibError: something may be left.
    """
    if not exported:
        return volume
    failure: errors.CinderlibError | None = None
    try:
        driver.terminate_connection(volume, connection, force=True)
    except errors.CinderlibError as exc:
        if not is_the_drivers(exc):
            raise
        failure = exc if mapped else None
    if last:
        volume = driver.remove_export(volume)
    if failure is not None:
        raise failure
    return volume


def remove_leftover_export(driver: Driver, volume: VolumeRecord) -> VolumeRecord:
    """Remove an export that no connection needs, for example that of a failed connect. Cinder's
    manager also does this before each delete.

    An error of the driver is ignored: storage that still exports the volume refuses the delete.

    :returns: the volume with the driver's changes.
    """
    try:
        return driver.remove_export(volume)
    except errors.CinderlibError as exc:
        if not is_the_drivers(exc):
            raise
        LOG.info("The export of volume %s could not be removed: %s", volume.id, exc)
        return volume


def unmap_intent(connection: ConnectionRecord, *, mapped: bool = True) -> IntentRecord:
    """An intent for a mapping that may remain on the storage without a connection.

    :param mapped: see :func:`unmap_after_failure`.
    """
    # A driver unmaps by the connector; keys are not needed, so they are not kept.
    kept = replace(connection, conn_info=None, device=None)
    return new_intent(
        "connection.unmap",
        kept,
        volumes.lock_name(kept.volume_id),
        data={"connection": to_builtins(kept), "mapped": mapped},
        arguments={"host": host_of(kept)},
        resource_id=kept.volume_id,
    )


def pending_of(journal: Journal, volume_id: str, connection_id: str) -> list[IntentRecord]:
    """The pending unmap of a connection that was deleted, if it has one."""
    return [
        intent
        for intent in journal.store.find(IntentRecord, {"resource_id": volume_id})
        if intent.operation == "connection.unmap"
        and (intent.data.get("connection") or {}).get("id") == connection_id
    ]


def unmapped_host(intent: IntentRecord) -> str:
    """The host that may still reach the volume of a pending unmap."""
    connection = intent.data.get("connection") or {}
    connector = connection.get("connector") or {}
    return str(connection.get("attached_host") or connector.get("host") or "an unnamed host")


def settled_with(
    journal: Journal, found: Iterable[IntentRecord], connection: ConnectionRecord
) -> list[Change]:
    """Remove the pending unmaps of a host's earlier connections after it was unmapped.

    :param found: the intents of the volume.
    :param connection: the connection that was just unmapped.
    """
    return [
        change
        for intent in found
        if intent.operation == "connection.unmap"
        and same_ports(from_builtins(ConnectionRecord, intent.data["connection"]), connection)
        for change in journal.ended(intent, "finished")
    ]


@recovers("connection.unmap")
def recover_unmap(journal: Journal, intent: IntentRecord) -> str:
    """Retry a pending unmap, unless the host is connected again."""
    connection = from_builtins(ConnectionRecord, intent.data["connection"])
    volume = journal.store.get(VolumeRecord, connection.volume_id)
    if volume is None:
        # Its mappings were deleted with the volume.
        journal.finish(intent, "No change was made")
        return "finished"
    there, alike = journal.store.query(
        Query(ConnectionRecord, "volume_id", volume.id, limit=1),
        Query(ConnectionRecord, "volume_id", volume.id, like=connection),
    )
    if any(same_ports(connection, other) for other in alike):
        journal.finish(intent, "No change was made")
        return "finished"
    after = unmap_after_failure(
        journal.driver(intent.backend),
        volume,
        connection,
        mapped=intent.data.get("mapped", True),
        last=not there,
    )
    journal.finish_with(intent, f"Volume {volume.id} was unmapped", volume, after)
    return "finished"
