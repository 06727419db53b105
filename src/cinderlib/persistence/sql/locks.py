"""Locks in a database server. They exclude processes on all hosts that use the store. When a holder
dies, its connection closes and the server releases them."""

from __future__ import annotations

import functools
import math
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from cinderlib.errors import StoreError
from cinderlib.persistence.sql import failures
from cinderlib.persistence.sql.address import Address
from cinderlib.persistence.sql.connections import Connections, Kept
from cinderlib.persistence.sql.engine import Server

#: Maximum number of connections for locks: more than a server allows.
MOST = 1000

#: Distinguishes these advisory locks in PostgreSQL from those of other programs in the database.
_CLASS = 0x63696E64

#: PostgreSQL's ``lock_not_available``.
_NOT_AVAILABLE = "55P03"


class ServerLocks:
    """Locks in PostgreSQL, MySQL or MariaDB, on separate connections. Locks that are taken together
    use one connection.

    :param timeout: seconds to wait for a connection.
    """

    reaches_hosts = True

    def __init__(self, address: Address, timeout: float) -> None:
        self._name = address.display_name
        self._secrets = address.secrets
        server = Server(address, timeout)
        self._connections = Connections(server, MOST, timeout)
        self._Error: tuple[type[Exception], ...] = (server.dbapi.Error, failures.NotOfDatabase)
        if address.name == "postgresql":
            self._kind: Kind = _PostgreSQL()
        else:
            # These locks belong to the server, not to the database.
            self._kind = _MySQL(f"cinderlib-{zlib.crc32((address.database or '').encode()):08x}-")

    def take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        """Take locks.

        :param numbers: in the order in which all processes take them.
        :param timeout: seconds to wait for them.
        :returns: a function that releases them; ``None`` if they were not free in time.
        :raises StoreError: the server cannot be reached.
        """
        try:
            return self._take(numbers, timeout)
        except self._Error:
            # After a restart of the server, all open connections are dead.
            self._connections.forget()
        try:
            return self._take(numbers, timeout)
        except self._Error as exc:
            # The text of the driver's error can contain the URL.
            text = " ".join(str(exc).split())
            for secret in self._secrets:
                text = text.replace(secret, "***")
            raise StoreError(
                f"The locks on {self._name} cannot be reached ({text}); the operation did not start"
            ) from None

    def _take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        kept = self._connections.take()
        try:
            got = self._kind.acquire(kept.dbapi.cursor(), numbers, timeout)
        except BaseException:
            # Some locks may be taken already; the server releases them with the connection.
            self._connections.drop(kept)
            raise
        if not got:
            self._give_back(kept, ())
            return None
        return functools.partial(self._give_back, kept, numbers)

    def _give_back(self, kept: Kept, numbers: Sequence[int]) -> None:
        try:
            if numbers:
                self._kind.release(kept.dbapi.cursor(), numbers)
        except BaseException as exc:
            # The server releases the locks when the connection closes.
            self._connections.drop(kept)
            if not isinstance(exc, self._Error):
                raise
        else:
            self._connections.give_back(kept)

    def close(self) -> None:
        self._connections.forget()


class Kind(Protocol):
    """The lock functions of a kind of server."""

    def acquire(self, cursor: Any, numbers: Sequence[int], timeout: float) -> bool:
        """Take all locks within ``timeout`` seconds, or none. Returns whether they were taken."""

    def release(self, cursor: Any, numbers: Sequence[int]) -> None:
        """Release them."""


class _PostgreSQL:
    def acquire(self, cursor: Any, numbers: Sequence[int], timeout: float) -> bool:
        # Nearly always they are free, and one query is enough. The server also refuses while others
        # wait for a lock, so the waiting processes come first.
        tries = ", ".join(f"pg_try_advisory_lock({_CLASS}, {number})" for number in numbers)
        cursor.execute(f"SELECT {tries}")
        row = cursor.fetchone()
        got = [number for number, one in zip(numbers, row, strict=True) if one]
        if len(got) == len(numbers):
            return True
        self.release(cursor, got)
        deadline = time.monotonic() + timeout
        for at, number in enumerate(numbers):
            left = max(1, math.ceil((deadline - time.monotonic()) * 1000))
            cursor.execute(f"SET lock_timeout = {left}")
            try:
                cursor.execute(f"SELECT pg_advisory_lock({_CLASS}, {number})")
            except Exception as exc:
                if failures.state(exc) == _NOT_AVAILABLE:
                    self.release(cursor, numbers[:at])
                    return False
                raise
        return True

    def release(self, cursor: Any, numbers: Sequence[int]) -> None:
        if numbers:
            calls = ", ".join(f"pg_advisory_unlock({_CLASS}, {number})" for number in numbers)
            cursor.execute(f"SELECT {calls}")


class _MySQL:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def acquire(self, cursor: Any, numbers: Sequence[int], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        for at, number in enumerate(numbers):
            seconds = max(1, math.ceil(deadline - time.monotonic()))
            cursor.execute(f"SELECT GET_LOCK('{self._prefix}{number}', {seconds})")
            if not cursor.fetchone()[0]:
                self.release(cursor, numbers[:at])
                return False
        return True

    def release(self, cursor: Any, numbers: Sequence[int]) -> None:
        for number in numbers:
            cursor.execute(f"SELECT RELEASE_LOCK('{self._prefix}{number}')")
            cursor.fetchall()
