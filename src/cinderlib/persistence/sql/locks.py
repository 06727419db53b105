"""Locks that a database server keeps: they reach every host that uses the store, and go with the
connection when its holder dies."""

from __future__ import annotations

import functools
import math
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import URL

from cinderlib.errors import StoreError
from cinderlib.persistence.sql import engine
from cinderlib.persistence.sql.connections import Connections, Kept

#: How many operations of a process can hold locks at once: more than a server has connections for.
MOST = 1000

#: Tells our advisory locks of PostgreSQL from those of others in the same database.
_CLASS = 0x63696E64

#: PostgreSQL's ``lock_not_available``.
_NOT_AVAILABLE = "55P03"


class ServerLocks:
    """Locks on PostgreSQL, MySQL or MariaDB, on connections of their own: those that are held
    together keep one.

    :param timeout: seconds to wait for a connection.
    """

    reaches_hosts = True

    def __init__(self, url: URL, timeout: float) -> None:
        self._name = engine.display_name(url)
        self._secrets = engine.secrets_in(url)
        made = engine.create(url, timeout)
        self._connections = Connections(made, MOST, timeout)
        dbapi: Any = made.dialect.dbapi
        self._Error: tuple[type[Exception], ...] = (dbapi.Error, sa.exc.DBAPIError)
        if made.dialect.name == "postgresql":
            self._kind: Kind = _PostgreSQL()
        else:
            # These locks are the server's, not the database's.
            self._kind = _MySQL(f"cinderlib-{zlib.crc32((url.database or '').encode()):08x}-")

    def take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        """Take locks.

        :param numbers: in the order in which everybody takes them.
        :param timeout: seconds to wait for them.
        :returns: gives them back; ``None`` when they were not got.
        :raises StoreError: the server cannot be reached.
        """
        try:
            return self._take(numbers, timeout)
        except self._Error:
            # What was kept open while the server was restarted is dead, all of it.
            self._connections.forget()
        try:
            return self._take(numbers, timeout)
        except self._Error as exc:
            # The text of the driver's error can have the URL in it.
            text = " ".join(str(getattr(exc, "orig", None) or exc).split())
            for secret in self._secrets:
                text = text.replace(secret, "***")
            raise StoreError(
                f"The locks on {self._name} cannot be reached ({text}); nothing was done"
            ) from None

    def _take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        kept = self._connections.take()
        try:
            got = self._kind.acquire(kept.dbapi.cursor(), numbers, timeout)
        except BaseException:
            # It may have got some all the same; the server frees them with the connection.
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
            # The server frees what a connection held when it goes.
            self._connections.drop(kept)
            if not isinstance(exc, self._Error):
                raise
        else:
            self._connections.give_back(kept)

    def close(self) -> None:
        self._connections.forget()


class Kind(Protocol):
    """How a kind of server is asked for locks."""

    def acquire(self, cursor: Any, numbers: Sequence[int], timeout: float) -> bool:
        """Whether all were got within ``timeout`` seconds; if not, none is held."""

    def release(self, cursor: Any, numbers: Sequence[int]) -> None:
        """Give them back."""


class _PostgreSQL:
    def acquire(self, cursor: Any, numbers: Sequence[int], timeout: float) -> bool:
        # Nearly always they are free, and one question is enough. The server says no as well while
        # others wait for one, so nobody goes before them.
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
                state = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
                if state == _NOT_AVAILABLE or _NOT_AVAILABLE in str(exc):
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
