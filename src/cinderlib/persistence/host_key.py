"""Which host a connection is for."""

from __future__ import annotations

import hashlib
import json

from cinderlib.records import ConnectionRecord

#: What names a host, the surest first. Two connectors that agree in the first that both have are
#: the same host's.
IDENTITY = ("system uuid", "initiator", "nqn", "wwpns", "host")


def host_of(connection: ConnectionRecord) -> str:
    """The name of the host that a connection is for, as well as it is known."""
    return connection.attached_host or str(connection.connector.get("host") or "an unnamed host")


def same_host(one: ConnectionRecord, other: ConnectionRecord) -> bool:
    """Whether two connections are for the same user of a volume: the same host, and on it the same
    instance where instances are named."""
    if one.instance_uuid != other.instance_uuid:
        return False
    if one.attached_host and other.attached_host:
        return one.attached_host == other.attached_host
    return same_ports(one, other)


def same_ports(one: ConnectionRecord, other: ConnectionRecord) -> bool:
    """Whether the storage takes two connections for the same host's."""
    for key in IDENTITY:
        mine, theirs = one.connector.get(key), other.connector.get(key)
        if mine and theirs:
            return bool(mine == theirs)
    return False


def key(connection: ConnectionRecord) -> str | None:
    """What an index finds a connection by among those of its volume, see :func:`may_be`: which of
    :data:`IDENTITY` is the first that its connector has, and a digest of that; ``None`` when it has
    none. What has no key can be for any host.

    Stores keep it: what is changed here needs a migration.
    """
    for place, name in enumerate(IDENTITY):
        if value := connection.connector.get(name):
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12)
            return f"{place}{digest.hexdigest()}"
    return None


def may_be(key: str | None) -> tuple[str | None, str | None]:
    """The keys that another connection of the same host can have beside ``key``: those that sort
    before the first text, or not before the second. Where that is ``None``, there are no such keys.

    Of two connectors that begin with the same of :data:`IDENTITY`, it alone decides, and the keys
    are equal. Where one has what the other lacks, the digests tell nothing.
    """
    if key is None:
        return None, None
    place = int(key[0])
    return str(place) if place else None, str(place + 1) if place + 1 < len(IDENTITY) else None
