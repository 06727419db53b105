"""Lists the volumes and snapshots on a driver's storage, with their IDs.

Drivers list the resources that Cinder could take over ("manage"). The caller's resources are
identified by the driver or by their name. Others are only identified by a name that contains an ID
according to Cinder's templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from cinder import exception
from oslo_config import cfg

from cinderlib.drivers import abilities
from cinderlib.drivers.port import InStorage, Listing

#: More than any array has: drivers page by slicing.
_ALL = 2**31
_UUID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


#: What drivers raise that have no such method, do not find a name, or refuse to manage it.
_NOT_BY_NAME = (
    AttributeError,
    KeyError,
    NotImplementedError,
    exception.Invalid,
    exception.ManageExistingInvalidReference,
    exception.NotFound,
)


def listing(driver: Any, volumes: Sequence[Any], snapshots: Sequence[Any]) -> Listing:
    """All resources that the driver lists.

    The listing is evidence that something exists. It is evidence that something does not exist only
    if the driver is known to list everything: Cinder's own default answers with an empty list, and
    several drivers leave out clones, pools, or resources with other names.

    :param volumes: the known ones, as Cinder's objects.
    :param snapshots: the known ones.
    """
    complete = abilities.of(driver).complete_listings
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
        if kind in complete:
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


def answers_to_its_name(driver: Any, kind: str, made: Any) -> bool:
    """Ask for the size of a volume or snapshot by its name, as Cinder does before it manages one.
    Drivers only read for that. ``False`` proves nothing: they refuse resources that they already
    manage, or require another kind of reference.

    :param made: the volume or snapshot, as Cinder's object.
    """
    method = "manage_existing_get_size" if kind == "volume" else "manage_existing_snapshot_get_size"
    try:
        size = getattr(driver, method)(made, {"source-name": made.name})
    except _NOT_BY_NAME:
        return False
    return size is not None


def _entries(driver: Any, method: str, known: Sequence[Any]) -> Iterable[Any] | None:
    try:
        entries: Iterable[Any] = getattr(driver, method)(
            list(known), marker=None, limit=_ALL, offset=0, sort_keys=["size"], sort_dirs=["desc"]
        )
    except (NotImplementedError, AttributeError):
        return None
    return entries


def _name(reference: Any) -> str:
    """The name in a reference; drivers for filesystems put the folder before it."""
    values = reference.values() if isinstance(reference, dict) else ()
    texts = [value.rpartition("/")[2] for value in values if isinstance(value, str)]
    return next((text for text in texts if _whose(text)), texts[0] if texts else "")


def _parent(reference: Any) -> str | None:
    whose = _whose(_name(reference))
    return whose[1] if whose and whose[0] == "volume" else None


def _whose(name: str) -> tuple[str, str] | None:
    """The kind and ID in a name."""
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
