"""How much of a backend's capacity the volumes of a store were created with."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cinderlib.persistence.base import Store
from cinderlib.records import VolumeRecord


def add_allocated(store: Store, backend: str, stats: dict[str, Any]) -> None:
    """Add ``allocated_capacity_gb`` to the stats of a backend and its pools, as Cinder's manager
    does: the sum of the sizes of the volumes that the store has. What a pool reports itself stays.

    :param stats: as the driver host gives them; changed in place.
    """
    sizes: Counter[str] = Counter()
    for volume in store.iterate(VolumeRecord, {"backend": backend}):
        sizes[volume.host.partition("#")[2]] += volume.size
    for pool in stats["pools"]:
        pool.setdefault("allocated_capacity_gb", sizes[pool["pool_name"]])
    stats["allocated_capacity_gb"] = sizes.total()
