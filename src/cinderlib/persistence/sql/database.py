"""Reads and transactions on one database: waiting for locks, coming back after a restart of the
server, and errors for people."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL

from cinderlib.errors import StoreError
from cinderlib.persistence.sql import engine, upgrade

LOG = logging.getLogger(__name__)
T = TypeVar("T")

#: How often a transaction is tried that the database ended in favour of another one.
ATTEMPTS = 20

#: What ends a call from outside: Ctrl-C, a signal handler that exits.
_ABRUPT = (KeyboardInterrupt, SystemExit, GeneratorExit)

_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_pools_of_parents: list[sa.Pool] = []


class Cursor(Protocol):
    """What is used of a DBAPI cursor."""

    @property
    def rowcount(self) -> int: ...
    def execute(self, text: str, parameters: Any = ..., /) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> Any: ...


class _Beginning:
    """A cursor that sends BEGIN together with the first statement, which saves a way to the server
    and back."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._begun = False
        self.fetchone = cursor.fetchone
        self.fetchall = cursor.fetchall

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, text: str, parameters: Any = None, /) -> Any:
        if not self._begun:
            self._begun = True
            text = f"BEGIN; {text}"
        return self._cursor.execute(text, parameters)


class Conflict(Exception):
    """Raised by a transaction's work: another was quicker, and the whole has to be done again."""


class _Lost(Exception):
    """The connection was lost, and nothing was committed."""


class _Undecided(Exception):
    """The connection was lost while the database was committing."""


class Database:
    """A database with the schema of this version of the library.

    :param timeout: seconds to wait for a lock or a connection that others hold.
    :param prepare: whether it is made, or brought to this version, where that is needed.
    """

    def __init__(self, url: URL, timeout: float, *, prepare: bool = True) -> None:
        self._name = engine.display_name(url)
        self._secrets = engine.secrets_in(url)
        self._timeout = timeout
        self._engine = engine.create(url, timeout)
        self.dialect = self._engine.dialect
        dbapi: Any = self.dialect.dbapi
        self._Error: type[Exception] = dbapi.Error
        self.IntegrityError: type[Exception] = dbapi.IntegrityError
        self._closed = False
        self._sqlite = self.dialect.name == "sqlite"
        # SQLite has one writer at a time, in memory one user: threads queue here, where waiting
        # is fair and costs nothing.
        self._one_reader = engine.in_memory(url)
        self._turn = threading.RLock()
        # BEGIN IMMEDIATE takes SQLite's write lock at once. Taken at the first write instead, a
        # transaction that has read before cannot wait for it, and fails.
        self._begin = "BEGIN IMMEDIATE" if self._sqlite else "BEGIN"
        # psycopg2 writes values into the text itself, which may then be two statements.
        self._joins = self.dialect.driver == "psycopg2"
        _databases.add(self)
        if not prepare:
            return
        try:
            engine.create_file(url)
            self._patiently(lambda: upgrade.ensure(self._engine, str(self), timeout))
        except BaseException:
            self.close()
            raise

    def __str__(self) -> str:
        return self._name

    def read(self, work: Callable[[Cursor], T]) -> T:
        """Give ``work`` a cursor outside of any transaction. It may be called more than once.

        :raises StoreError: the database failed.
        """

        def attempt() -> T:
            with self._queued(self._one_reader), self._connection() as connection:
                return work(connection.cursor())

        return self._patiently(attempt)

    def write(self, work: Callable[[Cursor], T]) -> T:
        """Give ``work`` a cursor in a transaction, which is committed when it returns and undone
        when it raises. It may be called more than once.

        :raises StoreError: the database failed; unless the message says otherwise, nothing was
            changed.
        """

        def attempt() -> T:
            with self._queued(self._sqlite), self._connection() as connection:
                cursor: Cursor = connection.cursor()
                if self._joins:
                    cursor = _Beginning(cursor)
                else:
                    cursor.execute(self._begin)
                result = work(cursor)
                try:
                    cursor.execute("COMMIT")
                except self._Error as exc:
                    if self._disconnected(exc, connection):
                        raise _Undecided from exc
                    raise
                return result

        return self._patiently(attempt)

    def schema_version(self) -> int | None:
        """Of which version its tables are, ``None`` where there are none.

        :raises StoreError: the database failed, or is of a version too new for this one.
        """
        return self._patiently(lambda: upgrade.version(self._engine, str(self)))

    def forget(self) -> None:
        """Leave nothing on disk of what was written over, as far as the library can: SQLite keeps
        it in its log until that is emptied, and while others read, it cannot be."""
        if self._sqlite:
            self.read(lambda cursor: cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    def close(self) -> None:
        self._closed = True
        self._engine.dispose()

    @contextlib.contextmanager
    def _queued(self, needed: bool) -> Iterator[None]:
        if not needed:
            yield
            return
        if not self._turn.acquire(timeout=self._timeout):
            raise self._failure(f"other threads have used it for {self._timeout:g} seconds")
        try:
            yield
        finally:
            self._turn.release()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection of the pool. After an error it is given back without a transaction, or not
        at all."""
        if self._closed:
            raise StoreError(f"The store {self} is closed.", retryable=False)
        connection = self._engine.raw_connection()
        try:
            yield connection
        except self._Error as exc:
            if not self._disconnected(exc, connection):
                self._put_right(connection)
                raise
            self._throw_away(connection)
            raise _Lost from exc
        except (_Undecided, *_ABRUPT) as exc:
            # A driver that was interrupted can be out of step with its server. SQLite's has none.
            if self._sqlite and isinstance(exc, _ABRUPT):
                self._put_right(connection)
            else:
                self._throw_away(connection)
            raise
        except BaseException:
            self._put_right(connection)
            raise
        finally:
            connection.close()

    def _put_right(self, connection: Any) -> None:
        """Leave no transaction open on the connection."""
        try:
            if not self._sqlite:
                connection.cursor().execute("ROLLBACK")
            elif connection.in_transaction:
                connection.rollback()
        except self._Error:
            connection.invalidate()

    def _throw_away(self, connection: Any) -> None:
        """Also the others in the pool: they are as old, so most likely they are lost too."""
        connection.invalidate()
        self._engine.dispose()

    def _disconnected(self, exc: BaseException, connection: Any) -> bool:
        return self.dialect.is_disconnect(exc, connection.dbapi_connection, None)  # type: ignore[arg-type]

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Do it again where that is safe and can help; all errors become the library's."""
        deadline = time.monotonic() + self._timeout
        conflicts = reconnects = 0
        while True:
            try:
                return attempt()
            except sa.exc.TimeoutError as exc:
                raise self._failure("all connections are in use", exc) from exc
            except sa.exc.DBAPIError as exc:
                error: BaseException = exc.orig or exc
            except sa.exc.SQLAlchemyError as exc:
                raise self._failure(self._text(exc), exc) from self._harmless(exc)
            except self._Error as exc:
                error = exc
            except _Lost as exc:
                error = exc.__cause__ or exc
                if not reconnects:
                    LOG.info("Connecting to %s again", self)
                    reconnects += 1
                    continue
            except _Undecided as exc:
                raise self._failure(
                    "the connection was lost at the end of a transaction, and whether it was "
                    "written is not known; read the records before going on",
                    exc.__cause__,
                ) from None
            except Conflict as exc:
                error = exc.__cause__ or exc
                if conflicts >= ATTEMPTS:
                    raise self._failure("other writers were always quicker", error) from None
                conflicts += 1
                continue
            if _is_busy(error):
                if time.monotonic() > deadline:
                    problem = f"another program has kept it locked for {self._timeout:g} seconds"
                    raise self._failure(problem, error) from error
                # SQLite cannot wake who waits. Short random pauses give all the same chance;
                # its own, growing ones would let the newest go first.
                time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311
            elif _is_deadlock(error) and conflicts < ATTEMPTS:
                conflicts += 1
                time.sleep(random.uniform(0, 0.002) * conflicts)  # noqa: S311
            else:
                raise self._failure(self._text(error), error) from self._harmless(error)

    def _text(self, error: BaseException) -> str:
        text = str(error.args[-1] if error.args else error).strip() or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())

    def _harmless(self, error: BaseException) -> BaseException | None:
        """The error as a cause, unless a password is in its text."""
        return None if any(secret in str(error) for secret in self._secrets) else error

    def _failure(self, problem: str, error: BaseException | None = None) -> StoreError:
        dbapi: Any = self.dialect.dbapi
        lasting = isinstance(error, self._Error) and (
            not isinstance(error, dbapi.OperationalError) or _is_read_only(error)
        )
        return StoreError(f"The store {self} failed: {problem}.", retryable=not lasting)

    def after_fork(self) -> None:
        """In a child process: leave the parent's connections alone. They are kept, since closing
        them here would end them there."""
        self._turn = threading.RLock()
        if not self._one_reader:
            _pools_of_parents.append(self._engine.pool)
            self._engine.dispose(close=False)


def _is_busy(error: BaseException) -> bool:
    # SQLITE_BUSY and SQLITE_LOCKED, with their extended codes.
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in (5, 6)


def _is_read_only(error: BaseException) -> bool:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == 8  # SQLITE_READONLY


def _is_deadlock(error: BaseException) -> bool:
    """Whether the database undid the transaction to let another one through."""
    state = getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
    return state in ("40001", "40P01") or (bool(error.args) and error.args[0] == 1213)


def _after_fork() -> None:
    for database in list(_databases):
        database.after_fork()


os.register_at_fork(after_in_child=_after_fork)
