"""Identifies the host of a connection."""

from __future__ import annotations

import functools
import hashlib
import json

from cinderlib.records import ConnectionRecord

#: The connector properties that identify a host, most reliable first. Two connectors belong to the
#: same host if they agree in the first property that both have.
IDENTITY = ("system uuid", "initiator", "nqn", "wwpns", "host")


def host_of(connection: ConnectionRecord) -> str:
    """The name of a connection's host, or a substitute if it is unknown."""
    return connection.attached_host or str(connection.connector.get("host") or "an unnamed host")


def same_host(one: ConnectionRecord, other: ConnectionRecord) -> bool:
    """Whether two connections are for the same user of a volume: the same host, and on it the same
    instance, if instances are specified."""
    if one.instance_uuid != other.instance_uuid:
        return False
    if one.attached_host and other.attached_host:
        return one.attached_host == other.attached_host
    return same_ports(one, other)


def same_ports(one: ConnectionRecord, other: ConnectionRecord) -> bool:
    """Whether the storage considers the hosts of two connections as the same."""
    for key in IDENTITY:
        mine, theirs = one.connector.get(key), other.connector.get(key)
        if mine and theirs:
            return bool(mine == theirs)
    return False


def key(connection: ConnectionRecord) -> str | None:
    """The value by which an index finds a connection of a volume; see :func:`may_be`.
    It consists of the position in :data:`IDENTITY` of the first property that the connector has,
    and a digest of the property. ``None`` if the connector has none of them: it may be for any
    host.

    Stores contain this value: a change of this function needs a migration.
    """
    for place, name in enumerate(IDENTITY):
        if value := connection.connector.get(name):
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            return f"{place}{_digest(text)}"
    return None


@functools.lru_cache(maxsize=1024)
def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def may_be(key: str | None) -> tuple[str | None, str | None]:
    """The keys other than ``key`` that another connection of the same host can have: keys that sort
    before the first text, or not before the second. ``None`` means that there are no such keys.

    If two connectors have the same first property of :data:`IDENTITY`, it alone decides, and the
    keys are equal. If one has a property that the other lacks, digests cannot be compared.
    """
    if key is None:
        return None, None
    place = int(key[0])
    return str(place) if place else None, str(place + 1) if place + 1 < len(IDENTITY) else None
