"""Locks that a database server keeps: they reach every host that uses the store, and go with the
connection when its holder dies."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import URL

from cinderlib.errors import StoreError
from cinderlib.persistence.sql import engine

#: Tells our advisory locks of PostgreSQL from those of others in the same database.
_CLASS = 0x63696E64

#: PostgreSQL's ``lock_not_available``.
_NOT_AVAILABLE = "55P03"


class ServerLocks:
    """Locks on PostgreSQL, MySQL or MariaDB, on connections of their own: one that is held keeps
    its connection.

    :param timeout: seconds to wait for a connection.
    """

    reaches_hosts = True

    def __init__(self, url: URL, timeout: float) -> None:
        self._name = engine.display_name(url)
        self._engine = engine.create(url, timeout, overflow=-1)
        dbapi: Any = self._engine.dialect.dbapi
        self._Error: tuple[type[Exception], ...] = (dbapi.Error, sa.exc.DBAPIError)
        if self._engine.dialect.name == "postgresql":
            self._lock: Lock = _PostgreSQLLock()
        else:
            # These locks are the server's, not the database's.
            self._lock = _MySQLLock(f"cinderlib-{zlib.crc32((url.database or '').encode()):08x}-")

    @contextlib.contextmanager
    def hold(self, number: int, timeout: float) -> Iterator[bool]:
        """Hold a lock; gives whether it was got within ``timeout`` seconds.

        :raises StoreError: the server cannot be reached.
        """
        connection, got = self._asked(number, timeout)
        with contextlib.closing(connection):
            if not got:
                yield False
                return
            try:
                yield True
            finally:
                try:
                    self._lock.release(connection.cursor(), number)
                except self._Error:
                    # The server frees what a connection held when it goes.
                    connection.invalidate()

    def close(self) -> None:
        self._engine.dispose()

    def _asked(self, number: int, timeout: float) -> tuple[Any, bool]:
        """A connection, and whether it has got the lock."""
        try:
            return self._got(number, timeout)
        except self._Error:
            # What lay in the pool while the server was restarted is dead, all of it.
            self._engine.dispose()
        try:
            return self._got(number, timeout)
        except self._Error as exc:
            # The text of the driver's error can have the URL in it.
            kind = type(getattr(exc, "orig", None) or exc).__name__
            raise StoreError(
                f"The locks on {self._name} cannot be reached ({kind}); nothing was done"
            ) from None

    def _got(self, number: int, timeout: float) -> tuple[Any, bool]:
        # Not through SQLAlchemy's own connection: that takes longer than the server does.
        connection = self._engine.raw_connection()
        try:
            return connection, self._lock.acquire(connection.cursor(), number, timeout)
        except BaseException:
            # It may have got the lock all the same; the server frees it with the connection.
            connection.invalidate()
            connection.close()
            raise


class Lock(Protocol):
    """How a kind of server is asked for a lock."""

    def acquire(self, cursor: Any, number: int, timeout: float) -> bool:
        """Whether it was got within ``timeout`` seconds."""

    def release(self, cursor: Any, number: int) -> None:
        """Give it back."""


class _PostgreSQLLock:
    def acquire(self, cursor: Any, number: int, timeout: float) -> bool:
        lock = f"({_CLASS}, {number})"
        # Nearly always it is free, and one question is enough. The server says no as well while
        # others wait for it, so nobody goes before them.
        cursor.execute(f"SELECT pg_try_advisory_lock{lock}")
        if cursor.fetchone()[0]:
            return True
        cursor.execute(f"SET lock_timeout = {max(1, math.ceil(timeout * 1000))}")
        try:
            cursor.execute(f"SELECT pg_advisory_lock{lock}")
        except Exception as exc:
            state = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
            if state == _NOT_AVAILABLE or _NOT_AVAILABLE in str(exc):
                return False
            raise
        return True

    def release(self, cursor: Any, number: int) -> None:
        cursor.execute(f"SELECT pg_advisory_unlock({_CLASS}, {number})")


class _MySQLLock:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def acquire(self, cursor: Any, number: int, timeout: float) -> bool:
        seconds = max(1, math.ceil(timeout))
        cursor.execute(f"SELECT GET_LOCK('{self._prefix}{number}', {seconds})")
        return bool(cursor.fetchone()[0])

    def release(self, cursor: Any, number: int) -> None:
        cursor.execute(f"SELECT RELEASE_LOCK('{self._prefix}{number}')")
        cursor.fetchall()
