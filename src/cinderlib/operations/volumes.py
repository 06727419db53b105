"""Volumes: their lock, their states, and reading them once interrupted operations are settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.locking.process_identity import this_host
from cinderlib.operations.existing import raise_not_found
from cinderlib.operations.journal import Journal
from cinderlib.persistence.base import Query
from cinderlib.records import VolumeRecord

#: States that an operation leaves when it is interrupted.
TRANSITIONAL = frozenset(
    {
        *("creating", "deleting", "extending", "maintenance", "managing", "retyping", "reverting"),
        "unmanaging",
    }
)
#: States in which a volume's data can be read.
READABLE = frozenset({"available", "in-use", "error_extending", "error_retyping"})
#: Fields that a copy of a volume has from its source unless they are specified.
_INHERITED = (
    "size", "name", "description", "host", "availability_zone", "bootable", "multiattach",
    "metadata", "user_id", "project_id", "extra_specs", "qos_specs", "encryption", "type_name",
    "volume_type_id",
)  # fmt: skip


def inherited(source: VolumeRecord) -> dict[str, Any]:
    """The fields that a copy of a volume has from its source unless they are specified."""
    return {name: getattr(source, name) for name in _INHERITED}


def own_type(id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the type that a volume has for itself if it has specs and no shared type.

    :param id: of the volume.
    :param fields: the others.
    """
    has_specs = any(fields.get(name) for name in ("extra_specs", "qos_specs", "encryption"))
    return {"type_name": None, "volume_type_id": id if has_specs else None}


def copy_of(source: VolumeRecord, id: str, **fields: Any) -> VolumeRecord:
    """The record of a new volume with the properties of another one, not stored yet."""
    values = {**inherited(source), **fields}
    if values["type_name"] is None:
        values |= own_type(id, values)
    return VolumeRecord(id=id, backend=source.backend, **values)


def lock_name(volume_id: str) -> str:
    """The lock under which a volume, its snapshots and its connections change."""
    return f"volume:{volume_id}"


def get(journal: Journal, volume_id: str) -> VolumeRecord:
    """The current volume, after interrupted operations are settled; its lock is held.

    :raises VolumeNotFound: there is none.
    """
    return look(journal, volume_id)[0]


def look(journal: Journal, volume_id: str, *queries: Query) -> tuple[VolumeRecord, list[list[Any]]]:
    """The same, with the results of further queries.

    :param queries: executed together with that for the volume.
    :returns: the volume, and a result for each query.
    :raises VolumeNotFound: there is none.
    """
    volume, answers = find(journal, volume_id, *queries)
    if volume is None:
        raise_not_found(errors.VolumeNotFound, "volume", volume_id)
    return volume, answers


def find(
    journal: Journal, volume_id: str, *queries: Query
) -> tuple[VolumeRecord | None, list[list[Any]]]:
    """The same, with ``None`` if the volume does not exist."""
    queries = (Query(VolumeRecord, "id", volume_id), *queries)
    (volume,), *answers = _ask(journal, queries)
    if (
        volume is not None
        and volume.status in TRANSITIONAL
        and journal.settle(volume_id, lock_name(volume_id))
    ):
        (volume,), *answers = _ask(journal, queries)
    return volume, answers


def _ask(journal: Journal, queries: Sequence[Query]) -> list[list[Any]]:
    volumes, *answers = journal.store.query(*queries)
    return [volumes or [None], *answers]


def stand_in(volume_id: str, backend: str, size: int) -> VolumeRecord:
    """A record to pass to a driver for a volume that the store does not know.

    :param size: in GiB.
    """
    host = f"{this_host()}@{backend}#{backend}"
    return VolumeRecord(id=volume_id, backend=backend, size=size, host=host, status="deleting")


def refuse_impossible_size(driver: Driver, volume: VolumeRecord, size: int) -> None:
    """Refuse what the whole pool could not hold, as Cinder's scheduler does.

    :param size: in GiB.
    :raises OutOfRange: it could not.
    """
    limit = driver.size_limit(volume, size)
    if limit is not None and size > limit:
        pool = volume.host.partition("#")[2]
        raise errors.OutOfRange(
            f"No volume of {size} GiB fits into pool {pool!r} of backend {volume.backend!r}: its"
            f" capacity, with over-subscription, is {limit} GiB. No change was made",
            resource=volume.id,
        )
