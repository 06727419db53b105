"""Locks that a database server keeps: they reach every host that uses the store, and go with the
connection when its holder dies."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from cinderlib.errors import StoreError
from cinderlib.persistence.sql import engine

#: Tells our advisory locks of PostgreSQL from those of others in the same database.
_CLASS = 0x63696E64

#: PostgreSQL's ``lock_not_available``.
_NOT_AVAILABLE = "55P03"

Acquire = Callable[[Any, int, float], bool]


class ServerLocks:
    """Locks on PostgreSQL, MySQL or MariaDB, on connections of their own: one that is held keeps
    its connection.

    :param timeout: seconds to wait for a connection.
    """

    reaches_hosts = True

    def __init__(self, url: URL, timeout: float) -> None:
        self._name = engine.display_name(url)
        self._engine = engine.create(url, timeout, overflow=-1)
        if self._engine.dialect.name == "postgresql":
            self._acquire: Acquire = self._acquire_postgresql
            self._release_text = "SELECT pg_advisory_unlock(:class, :number)"
        else:
            # These locks are the server's, not the database's.
            self._prefix = f"cinderlib-{zlib.crc32((url.database or '').encode()):08x}-"
            self._acquire = self._acquire_mysql
            self._release_text = "SELECT RELEASE_LOCK(:name)"

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
                    connection.execute(sa.text(self._release_text), self._parameters(number))
                except sa.exc.DBAPIError:
                    # The server frees what a connection held when it goes.
                    connection.invalidate()

    def close(self) -> None:
        self._engine.dispose()

    def _asked(self, number: int, timeout: float) -> tuple[sa.Connection, bool]:
        """A connection, and whether it has got the lock."""
        connection = self._connection()
        try:
            return connection, self._got(connection, number, timeout)
        except sa.exc.DBAPIError:
            # What lay in the pool while the server was restarted is dead, all of it.
            self._engine.dispose()
        connection = self._connection()
        try:
            return connection, self._got(connection, number, timeout)
        except sa.exc.DBAPIError as exc:
            raise self._failure(exc) from None

    def _connection(self) -> sa.Connection:
        try:
            return self._engine.connect()
        except sa.exc.DBAPIError as exc:
            raise self._failure(exc) from None

    def _got(self, connection: sa.Connection, number: int, timeout: float) -> bool:
        try:
            return self._acquire(connection, number, timeout)
        except BaseException:
            # It may have got the lock all the same; the server frees it with the connection.
            connection.invalidate()
            connection.close()
            raise

    def _parameters(self, number: int) -> dict[str, Any]:
        if self._engine.dialect.name == "postgresql":
            return {"class": _CLASS, "number": number}
        return {"name": f"{self._prefix}{number}"}

    def _acquire_postgresql(self, connection: Any, number: int, timeout: float) -> bool:
        lock = f"({_CLASS}, {number})"
        # Nearly always it is free, and one question is enough. The server says no as well while
        # others wait for it, so nobody goes before them.
        if connection.exec_driver_sql(f"SELECT pg_try_advisory_lock{lock}").scalar():
            return True
        connection.exec_driver_sql(f"SET lock_timeout = {max(1, math.ceil(timeout * 1000))}")
        try:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock{lock}")
        except sa.exc.DBAPIError as exc:
            state = getattr(exc.orig, "sqlstate", None) or getattr(exc.orig, "pgcode", None)
            if state == _NOT_AVAILABLE or _NOT_AVAILABLE in str(exc.orig):
                return False
            raise
        return True

    def _acquire_mysql(self, connection: Any, number: int, timeout: float) -> bool:
        text = sa.text("SELECT GET_LOCK(:name, :timeout)")
        values = {**self._parameters(number), "timeout": max(1, math.ceil(timeout))}
        return bool(connection.execute(text, values).scalar())

    def _failure(self, exc: sa.exc.DBAPIError) -> StoreError:
        # The text of the driver's error can have the URL in it.
        return StoreError(
            f"The locks on {self._name} cannot be reached ({type(exc.orig).__name__}); nothing was"
            " done"
        )
