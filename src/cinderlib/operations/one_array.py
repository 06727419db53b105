"""Copies of a volume on the array that has the volume.

After a migration by a copy, the volume keeps its ID, and its data can have another name on the
storage: Cinder's ``name_id``. Some of Cinder's drivers do not use it, and some exchange the names
of the volume and the copy without a report. On one array, such a driver would then delete the wrong
one of the two.
"""

from __future__ import annotations

from cinderlib import errors
from cinderlib.drivers.port_values import DriverInfo
from cinderlib.operations.journal import Journal
from cinderlib.records import VolumeRecord

_CINDERS = "cinder.volume.drivers."


def refuse_copy(journal: Journal, volume: VolumeRecord, backend: str) -> None:
    """Refuse to copy a volume to a backend whose driver could confuse the volume and the copy.

    :raises Unsupported: both can be on the same array. Nothing changed.
    """
    source, target = journal.driver(volume.backend).info, journal.driver(backend).info
    if target.uses_name_id or not _may_share(source, target):
        return
    raise errors.Unsupported(
        f"Volume {volume.id} cannot be copied to backend {backend!r}: both can be on the same"
        f" array, and it is not known whether {target.driver.rpartition('.')[2]} distinguishes"
        " them. There, only the driver can migrate or retype the volume; a copy is possible to"
        " another array. No change was made",
        resource=volume.id,
    )


def _may_share(source: DriverInfo, target: DriverInfo) -> bool:
    """Whether two backends can have the same array: the same vendor, and no different addresses."""
    if _vendor(source.driver) != _vendor(target.driver):
        return False
    return not (source.address and target.address and source.address != target.address)


def _vendor(driver: str) -> str:
    """The part of the path of a driver's class that all drivers for an array have in common."""
    return driver.removeprefix(_CINDERS).partition(".")[0]
