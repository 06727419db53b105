"""The client of a connection, and its rights."""

from __future__ import annotations

import dataclasses
import enum
import pwd
import socket
import struct
from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.locking.process_identity import this_host


class Role(enum.Enum):
    """The rights of a client.

    ``READ`` sees everything but secrets. ``NODE`` connects volumes for its own host alone.
    ``OPERATE`` reads, and changes volumes, snapshots and connections of any host.
    ``ADMINISTER`` also recovers and reconciles.
    """

    READ = "read"
    NODE = "node"
    OPERATE = "operate"
    ADMINISTER = "administer"

    def includes(self, other: Role) -> bool:
        """Whether this role has all rights of another role."""
        return other in _INCLUDES[self]


_INCLUDES: Mapping[Role, frozenset[Role]] = {
    Role.READ: frozenset({Role.READ}),
    Role.NODE: frozenset({Role.NODE}),
    Role.OPERATE: frozenset({Role.READ, Role.NODE, Role.OPERATE}),
    Role.ADMINISTER: frozenset(Role),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """A client, as the kernel or its certificate identifies it.

    :ivar name: a user name, or the common name of a certificate.
    :ivar role: ``None`` for a client that may do nothing.
    :ivar host: the host for which a client with the role ``node`` may act.
    :ivar uid: of a client on the UNIX socket.
    :ivar pid: of a client on the UNIX socket, at the time it connected.
    """

    name: str
    role: Role | None
    host: str = ""
    uid: int | None = None
    pid: int | None = None

    def __str__(self) -> str:
        return self.name if self.pid is None else f"{self.name} (process {self.pid})"

    def may(self, role: Role, *, host: str) -> bool:
        """Whether :meth:`require` accepts the client."""
        try:
            self.require(role, host=host)
        except errors.PermissionDenied:
            return False
        return True

    def require(self, role: Role, *, host: str | None = None) -> None:
        """Refuse a client that lacks a role.

        :param host: the host of the request; a client with the role ``node`` may only act for its
            own.
        :raises PermissionDenied: it lacks the role, or the host is another one.
        """
        if self.role is None or not self.role.includes(role):
            has = "no role" if self.role is None else f"the role {self.role.value!r}"
            raise errors.PermissionDenied(
                f"{self.name} has {has}; this call needs the role {role.value!r}"
            )
        if self.role is Role.NODE and host is not None and host != self.host:
            raise errors.PermissionDenied(
                f"{self.name} has the role 'node' for host {self.host!r} only; the request is for"
                f" host {host!r}"
            )


#: ``struct ucred`` of unix(7): process, user, group.
_UCRED = struct.Struct("3i")


def of_unix_socket(connection: socket.socket, *, owner: int, others: Role) -> Peer:
    """The process that connected to a UNIX socket (``SO_PEERCRED``).

    :param owner: the user that the service runs as; it and root administer.
    :param others: the role of the other users, whom the socket's mode lets in.
    """
    pid, uid, _ = _UCRED.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"uid {uid}"
    role = Role.ADMINISTER if uid in (0, owner) else others
    return Peer(name, role, host=this_host(), uid=uid, pid=pid)


def of_certificate(certificate: Mapping[str, Any] | None, roles: Mapping[str, Role]) -> Peer:
    """The client that a certificate was issued to.

    :param certificate: as ``ssl.SSLSocket.getpeercert`` returns it; it has been verified.
    :param roles: common name -> role.
    """
    for attributes in (certificate or {}).get("subject", ()):
        for key, value in attributes:
            if key == "commonName":
                return Peer(value, roles.get(value), host=value)
    return Peer("a certificate without a common name", None)
