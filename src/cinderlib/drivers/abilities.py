"""Properties of drivers that tests have shown, in addition to those that drivers report.

Cinder has no method for them. A driver that is not listed here can declare them as class
attributes: ``complete_listings`` and ``keeps_newer_snapshots``
(:class:`cinderlib.testing.DriverConformance` tests both).
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
    """

    complete_listings: frozenset[str] = frozenset()
    keeps_newer_snapshots: bool = False


_BOTH = frozenset({"volume", "snapshot"})
#: Full path of a driver class -> the result of the conformance suite on real storage.
_TESTED: Mapping[str, Abilities] = {
    # An image is rolled back in place; its snapshots stay.
    "cinder.volume.drivers.rbd.RBDDriver": Abilities(_BOTH, keeps_newer_snapshots=True),
    "cinder.volume.drivers.lvm.LVMVolumeDriver": Abilities(_BOTH),
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
    )
