"""What a disconnect does on the storage, and what a forced one leaves there to be done."""

from __future__ import annotations

from collections.abc import Iterable

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.locking.process_identity import this_process
from cinderlib.operations import volumes
from cinderlib.operations.journal import Journal, recovers
from cinderlib.persistence.base import Query, Remove
from cinderlib.persistence.host_key import same_ports
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    VolumeRecord,
    from_builtins,
    new_id,
    replace,
    to_builtins,
)


def unmap(
    driver: Driver,
    volume: VolumeRecord,
    connection: ConnectionRecord,
    *,
    last: bool,
    force: bool = False,
) -> VolumeRecord:
    """The order is the one of Cinder's manager."""
    driver.terminate_connection(volume, connection, force=force)
    return driver.remove_export(volume) if last else volume


def forced(driver: Driver, volume: VolumeRecord, *, last: bool) -> VolumeRecord:
    """What can still be done of a disconnect whose driver fails."""
    if not last:
        return volume
    try:
        return driver.remove_export(volume)
    except errors.CinderlibError as exc:
        if not is_the_drivers(exc):
            raise
        return volume


def is_the_drivers(error: BaseException) -> bool:
    """Whether the driver could not, or would not, and the store is well."""
    return isinstance(error, errors.CinderlibError) and not isinstance(error, errors.StoreError)


def unmap_intent(connection: ConnectionRecord, *, mapped: bool = True) -> IntentRecord:
    """That a mapping may be left on the storage although its connection is gone.

    :param mapped: whether there may be one for the host, and not just an export.
    """
    # A driver unmaps by the connector; keys are not needed, so they are not kept.
    kept = replace(connection, conn_info=None, device=None)
    return IntentRecord(
        id=new_id(),
        operation="connection.unmap",
        backend=connection.backend,
        resource_id=connection.volume_id,
        lock=volumes.lock_name(connection.volume_id),
        owner=this_process(),
        data={"connection": to_builtins(kept), "mapped": mapped},
    )


def unmapped_host(intent: IntentRecord) -> str:
    """The host that may still reach the volume of such an intent."""
    connection = intent.data.get("connection") or {}
    connector = connection.get("connector") or {}
    return str(connection.get("attached_host") or connector.get("host") or "an unnamed host")


def settled_with(found: Iterable[IntentRecord], connection: ConnectionRecord) -> list[Remove]:
    """Forgets what may be left of earlier connections of a host, once it was unmapped.

    :param found: the intents of the volume.
    :param connection: the one that was unmapped just now.
    """
    return [
        Remove(IntentRecord, intent.id)
        for intent in found
        if intent.operation == "connection.unmap"
        and same_ports(from_builtins(ConnectionRecord, intent.data["connection"]), connection)
    ]


@recovers("connection.unmap")
def recover_unmap(journal: Journal, intent: IntentRecord) -> str:
    """Unmap what a forced disconnect could not, unless the host is connected again by now."""
    connection = from_builtins(ConnectionRecord, intent.data["connection"])
    volume = journal.store.get(VolumeRecord, connection.volume_id)
    if volume is None:
        # The storage has forgotten its mappings with it.
        journal.finish(intent, "Nothing was done")
        return "finished"
    there, alike = journal.store.query(
        Query(ConnectionRecord, "volume_id", volume.id, limit=1),
        Query(ConnectionRecord, "volume_id", volume.id, like=connection),
    )
    if any(same_ports(connection, other) for other in alike):
        journal.finish(intent, "Nothing was done")
        return "finished"
    driver, after = journal.driver(intent.backend), volume
    if intent.data.get("mapped", True):
        driver.terminate_connection(volume, connection, force=True)
    if not there:
        after = driver.remove_export(volume)
    journal.finish_with(intent, f"Volume {volume.id} was unmapped", volume, after)
    return "finished"
