"""Which host a connection is for."""

from __future__ import annotations

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
