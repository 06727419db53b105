"""Lists the volumes and snapshots on a driver's storage, with their IDs.

Drivers list the resources that Cinder could take over ("manage"). The driver or the name identifies
the caller's resources. Other resources are identified only by a name that contains an ID in
the format of Cinder's templates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cinder import exception
from oslo_config import cfg

from cinderlib.drivers import abilities
from cinderlib.drivers.port_values import InStorage, Listing

#: More than the volumes of any array: drivers create pages by slicing.
_ALL = 2**31
_UUID = "([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


#: Number of hexadecimal digits of a UUID that identify it: some drivers use the last 12.
_SHORTEST = 12
_HEX = re.compile(f"[0-9a-f]{{{_SHORTEST}}}")

#: Kind of resource -> the option with the template of the names.
_TEMPLATES = (("volume", "volume_name_template"), ("snapshot", "snapshot_name_template"))

#: Errors of drivers that do not have the method, do not find the name, or refuse to manage it.
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

    :param volumes: the known volumes, as Cinder's objects.
    :param snapshots: the known snapshots.
    """
    complete = abilities.of(driver).complete_listings
    names = {obj.name: ("volume", obj.id) for obj in volumes}
    names |= {obj.name: ("snapshot", obj.id) for obj in snapshots}
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
            name = name_of(entry.get("reference"))
            known_as = (
                (kind, str(entry["cinder_id"])) if entry.get("cinder_id") else names.get(name)
            )
            # The LVM driver lists thin snapshots as volumes: only the name distinguishes them.
            identity = known_as or identity_of(name)
            if identity is not None:
                size = entry.get("size")
                found[identity] = InStorage(
                    kind=identity[0],
                    id=identity[1],
                    name=name,
                    size=int(size) if isinstance(size, int | float) else None,
                    volume_id=_parent(entry.get("source_reference")),
                )
    return Listing(tuple(found.values()), frozenset(kinds))


def is_found_by_name(driver: Any, kind: str, obj: Any) -> bool:
    """Whether the driver reports the size of a volume or snapshot by its name, as it does before
    Cinder manages one. Drivers only read for this. ``False`` is not evidence: drivers refuse
    resources that they already manage, or require another kind of reference.

    :param obj: the volume or snapshot, as Cinder's object.
    """
    method = "manage_existing_get_size" if kind == "volume" else "manage_existing_snapshot_get_size"
    try:
        size = getattr(driver, method)(obj, {"source-name": obj.name})
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


def name_of(reference: Any) -> str:
    """The name in a reference, without the folder that drivers for filesystems add."""
    values = reference.values() if isinstance(reference, dict) else ()
    texts = [value.rpartition("/")[2] for value in values if isinstance(value, str)]
    return next((text for text in texts if identity_of(text)), texts[0] if texts else "")


def _parent(reference: Any) -> str | None:
    identity = identity_of(name_of(reference))
    return identity[1] if identity and identity[0] == "volume" else None


def contains_id(reference: Mapping[str, Any], id: str) -> bool:
    """Whether a text in a reference contains an ID, or a part of it that is long enough to identify
    it: drivers shorten IDs, and add prefixes and suffixes."""
    parts = _parts(_compact(id))
    texts = [_compact(value) for value in reference.values() if isinstance(value, str)]
    return any(part in text for text in texts for part in parts)


def has_part_of_id(reference: Mapping[str, Any]) -> bool:
    """Whether a reference could contain an ID, so that it is worth a search for it."""
    return any(_HEX.search(_compact(v)) for v in reference.values() if isinstance(v, str))


def _compact(text: str) -> str:
    return re.sub("[-_]", "", text.lower())


def _parts(id: str) -> set[str]:
    """All parts of an ID with the shortest length that identifies it; the ID if it is shorter."""
    return {id[start : start + _SHORTEST] for start in range(max(1, len(id) - _SHORTEST + 1))}


def identity_of(name: str) -> tuple[str, str] | None:
    """The kind and ID in a name on the storage."""
    for kind, template in _TEMPLATES:
        before, _, after = getattr(cfg.CONF, template).partition("%s")
        # LVM reserves names that begin with "snapshot", so its driver adds "_" as a prefix.
        lead = "_?" if kind == "snapshot" else ""
        match = re.fullmatch(lead + re.escape(before) + _UUID + re.escape(after), name)
        if match is not None:
            return kind, match[1]
    return None
