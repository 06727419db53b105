"""Properties of drivers that tests have shown, in addition to those that drivers report.

Cinder has no method for them. A driver that is not listed here can declare them as class
attributes: ``complete_listings``, ``keeps_newer_snapshots`` and ``uses_name_id``
(:class:`cinderlib.testing.DriverConformance` tests them).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Abilities:
    """
    :ivar complete_listings: the kinds of resources (``'volume'``, ``'snapshot'``) that the driver's
        ``get_manageable_volumes`` and ``get_manageable_snapshots`` list completely: a resource
        that is not listed does not exist on the storage.
    :ivar keeps_newer_snapshots: whether a volume that is reverted to a snapshot keeps the snapshots
        taken after that one.
    :ivar uses_name_id: whether it finds the data of a volume by Cinder's ``name_id`` if that is
        not the volume's ID, and if a volume with this ID also exists.
    """

    complete_listings: frozenset[str] = frozenset()
    keeps_newer_snapshots: bool = False
    uses_name_id: bool = False


_BOTH = frozenset({"volume", "snapshot"})
#: Full path of a driver class -> the result of the conformance suite on real storage.
_TESTED: Mapping[str, Abilities] = {
    # An image is rolled back in place; its snapshots stay.
    "cinder.volume.drivers.rbd.RBDDriver": Abilities(
        _BOTH, keeps_newer_snapshots=True, uses_name_id=True
    ),
    "cinder.volume.drivers.lvm.LVMVolumeDriver": Abilities(_BOTH, uses_name_id=True),
}


def of(driver: Any) -> Abilities:
    """The properties of a driver: from its class attributes, or from the nearest tested class."""
    known = next(
        (
            _TESTED[path]
            for path in (f"{kind.__module__}.{kind.__qualname__}" for kind in type(driver).__mro__)
            if path in _TESTED
        ),
        Abilities(),
    )
    return Abilities(
        complete_listings=frozenset(getattr(driver, "complete_listings", known.complete_listings)),
        keeps_newer_snapshots=bool(
            getattr(driver, "keeps_newer_snapshots", known.keeps_newer_snapshots)
        ),
        uses_name_id=bool(getattr(driver, "uses_name_id", known.uses_name_id)),
    )
