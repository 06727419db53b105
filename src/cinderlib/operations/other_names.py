"""The IDs in the names on the storage that are not the IDs of their volumes and snapshots.

A migrated volume has the name of the copy, and a managed one can keep the name that it had before.
"""

from __future__ import annotations

import re

from cinderlib.persistence.base import Store
from cinderlib.records import SnapshotRecord, VolumeRecord

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def ids(store: Store) -> frozenset[str]:
    """These IDs, of the records of all backends: several backends can use the same storage."""
    found: set[str] = set()
    for kind in (VolumeRecord, SnapshotRecord):
        for each in store.scan(kind):
            if not isinstance(each, VolumeRecord | SnapshotRecord):
                continue  # it is damaged
            if isinstance(each, VolumeRecord) and each.name_id is not None:
                found.add(each.name_id)
            for value in (each.managed_from or {}).values():
                if isinstance(value, str):
                    found.update(_UUID.findall(value))
    return frozenset(found)
