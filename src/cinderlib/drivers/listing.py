"""What a driver lists of its storage, and whose it is.

Drivers list what Cinder could take over ("manage"). Those that are known to the caller are told by
the driver or by their name; what is not known is told by its name alone: only one that follows from
an id by Cinder's templates stands for that id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg

from cinderlib.drivers.port import InStorage, Listing

#: More than any array has: drivers page by slicing.
_ALL = 2**31
_UUID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


def listing(driver: Any, volumes: Sequence[Any], snapshots: Sequence[Any]) -> Listing:
    """All that the driver lists.

    :param volumes: the known ones, as Cinder's objects.
    :param snapshots: the known ones.
    """
    names = {made.name: ("volume", made.id) for made in volumes}
    names |= {made.name: ("snapshot", made.id) for made in snapshots}
    found: dict[tuple[str, str], InStorage] = {}
    kinds = set()
    for kind, known, method in (
        ("volume", volumes, "get_manageable_volumes"),
        ("snapshot", snapshots, "get_manageable_snapshots"),
    ):
        entries = _entries(driver, method, known)
        if entries is None:
            continue
        kinds.add(kind)
        for entry in entries:
            name = _name(entry.get("reference"))
            told = (kind, str(entry["cinder_id"])) if entry.get("cinder_id") else names.get(name)
            # Thin snapshots of LVM are volumes like others to the driver: the name decides.
            whose = told or _whose(name)
            if whose is not None:
                size = entry.get("size")
                found[whose] = InStorage(
                    kind=whose[0],
                    id=whose[1],
                    name=name,
                    size=int(size) if isinstance(size, int | float) else None,
                    volume_id=_parent(entry.get("source_reference")),
                )
    return Listing(tuple(found.values()), frozenset(kinds))


def _entries(driver: Any, method: str, known: Sequence[Any]) -> Iterable[Any] | None:
    try:
        entries: Iterable[Any] = getattr(driver, method)(
            list(known), marker=None, limit=_ALL, offset=0, sort_keys=["size"], sort_dirs=["desc"]
        )
    except (NotImplementedError, AttributeError):
        return None
    return entries


def _name(reference: Any) -> str:
    """What stands in a reference for a name; filesystems put their folder before it."""
    values = reference.values() if isinstance(reference, dict) else ()
    texts = [value.rpartition("/")[2] for value in values if isinstance(value, str)]
    return next((text for text in texts if _whose(text)), texts[0] if texts else "")


def _parent(reference: Any) -> str | None:
    whose = _whose(_name(reference))
    return whose[1] if whose and whose[0] == "volume" else None


def _whose(name: str) -> tuple[str, str] | None:
    """The kind and id that a name follows from."""
    for kind, template in (
        ("volume", cfg.CONF.volume_name_template),
        # LVM keeps names that begin with "snapshot" to itself, so its driver puts a "_" before.
        ("snapshot", cfg.CONF.snapshot_name_template),
    ):
        before, _, after = template.partition("%s")
        lead = "_?" if kind == "snapshot" else ""
        match = re.fullmatch(lead + re.escape(before) + _UUID + re.escape(after), name)
        if match is not None:
            return kind, match[1]
    return None
