"""Reads and transactions on one database: waiting for locks, coming back after a restart of the
server, and errors for people."""

from __future__ import annotations

import logging
import os
import random
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL

from cinderlib.errors import StoreError
from cinderlib.locking.files import FileLocks
from cinderlib.locking.locks import STRIPES
from cinderlib.persistence.sql import engine, upgrade
from cinderlib.persistence.sql.connections import AllInUse, Connections, Kept
from cinderlib.persistence.sql.statements import Statement
from cinderlib.persistence.sql.transaction import OneByOne, Together, Transaction, Values, rows
from cinderlib.persistence.sql.turns import Job, Turns

LOG = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")
Work = Callable[[Transaction], Any]

#: How often a transaction is tried that the database ended in favour of another one.
ATTEMPTS = 20

#: What ends a call from outside: Ctrl-C, a signal handler that exits.
_ABRUPT = (KeyboardInterrupt, SystemExit, GeneratorExit)

#: The lock by which processes queue that write to a file; the locks of resources are below it.
_QUEUE = STRIPES

_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class Conflict(Exception):
    """Raised by a transaction's work: another was quicker, and the whole has to be done again."""


class _Lost(Exception):
    """The connection was lost, and nothing was committed."""


class _AtTheEnd(Exception):
    """A transaction failed while the database was committing it."""


class _Unclear(Exception):
    """A row is there already, or is not as it was expected to be, and which one cannot be told of
    statements that went together."""


class _Undecided(Exception):
    """The connection was lost while the database was committing."""


class Database:
    """A database with the schema of this version of the library.

    :param timeout: seconds to wait for a lock or a connection that others hold.
    :param prepare: whether it is created, or brought to this version, where that is needed.
    :param create: whether it is created; without it, a database that is missing is an error.
    """

    def __init__(
        self, url: URL, timeout: float, *, prepare: bool = True, create: bool = True
    ) -> None:
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
        self._turns = Turns(self._alone, self._all)
        path = engine.file_of(url)
        #: Beside the file, so that all who use the database find them.
        self.file_locks = None if path is None else FileLocks(f"{path}-locks", like=path)
        self._together = self.dialect.driver == "psycopg2"
        _databases.add(self)
        try:
            engine.refuse_second_name(url)
            if prepare:
                engine.ensure_file(url, create=create)
                self._patiently(upgrade.ensure, self._engine, str(self), timeout, create=create)
            self._connections = Connections(
                self._engine, engine.CONNECTIONS, timeout, only=engine.in_memory(url)
            )
        except BaseException:
            self._engine.dispose()
            raise

    def __str__(self) -> str:
        return self._name

    def read(self, statement: Statement, values: Values) -> list[Any]:
        """What a statement finds, outside of any transaction.

        :raises StoreError: the database failed.
        """
        return self._patiently(self._use, lambda kept: rows(kept, statement, values))

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Give ``work`` a transaction, which is committed when it returns and undone when it
        raises. It may be called more than once.

        :raises StoreError: the database failed; unless the message says otherwise, nothing was
            changed.
        """
        if self._sqlite:
            return self._patiently(self._write_to_sqlite, work)
        if self._together:
            try:
                return self._patiently(self._use, lambda kept: self._commit(Together(kept), work))
            except _Unclear:
                pass  # One by one it is seen whose error it is.
        return self._patiently(self._use, lambda kept: self._commit(OneByOne(kept), work))

    def _write_to_sqlite(self, work: Callable[[Transaction], T]) -> T:
        try:
            result: T = self._turns.do(work, self._timeout)
        except TimeoutError:
            problem = f"other threads have used it for {self._timeout:g} seconds"
            raise self._failure(problem) from None
        return result

    def _alone(self, work: Callable[[Transaction], T]) -> T:
        """In a transaction of SQLite, whose turn is this thread's."""
        leave = self._enter_queue()
        try:
            # IMMEDIATE takes SQLite's write lock at once. Taken at the first write instead, a
            # transaction that has read before cannot wait for it, and fails.
            return self._use(lambda kept: self._commit(OneByOne(kept, "BEGIN IMMEDIATE"), work))
        finally:
            leave()

    def _all(self, jobs: Sequence[Job[Work]]) -> None:
        """The same for several, of which each is undone alone when it raises."""

        def work(transaction: Transaction) -> None:
            cursor = transaction.cursor
            for job in jobs:
                cursor.execute("SAVEPOINT job")
                try:
                    job.result = job.work(transaction)
                except self._Error:
                    raise  # It may have ended the transaction.
                except Exception as exc:
                    job.error = exc
                    cursor.execute("ROLLBACK TO job")
                cursor.execute("RELEASE job")

        self._alone(work)

    def _enter_queue(self) -> Callable[[], None]:
        """Wait until it is this process's turn. SQLite has a lock and no queue before it: who waits
        must look again and again, most often in vain, and the newest is as likely to get it."""
        if self.file_locks is None:
            return _nothing
        try:
            leave = self.file_locks.take([_QUEUE], self._timeout)
        except StoreError:
            return _nothing  # The file is another user's, or cannot be made: SQLite's lock will do.
        if leave is None:
            raise self._failure(f"other processes have used it for {self._timeout:g} seconds")
        return leave

    def _commit(self, transaction: Transaction, work: Callable[[Transaction], T]) -> T:
        ending = False
        try:
            result = work(transaction)
            transaction.all_is_said()
            ending = True
            transaction.commit()
        except self._Error as exc:
            if isinstance(transaction, Together) and transaction.is_unclear(exc):
                raise _Unclear from exc
            if ending:
                raise _AtTheEnd from exc
            raise
        return result

    def schema_version(self) -> int | None:
        """Of which version its tables are, ``None`` where there are none.

        :raises StoreError: the database failed, or is of a version too new for this one.
        """
        return self._patiently(lambda: upgrade.version(self._engine, str(self)))

    def forget(self) -> None:
        """Leave nothing on disk of what was written over, as far as the library can: SQLite keeps
        it in its log until that is emptied, and while others read, it cannot be."""
        if self._sqlite:
            text = "PRAGMA wal_checkpoint(TRUNCATE)"
            self._patiently(self._use, lambda kept: kept.dbapi.execute(text).fetchall())

    def close(self) -> None:
        self._closed = True
        self._connections.forget()
        if self.file_locks is not None:
            self.file_locks.close()

    def _use(self, work: Callable[[Kept], T]) -> T:
        """Give ``work`` a connection. After an error it is given back without a transaction, or not
        at all."""
        if self._closed:
            raise StoreError(f"The store {self} is closed.", retryable=False)
        kept = self._connections.take()
        try:
            result = work(kept)
        except BaseException as exc:
            self._put_right(kept, exc)
            raise
        self._connections.give_back(kept)
        return result

    def _put_right(self, kept: Kept, exc: BaseException) -> None:
        """Leave no transaction open on a connection on which something failed.

        :raises _Lost, _Undecided: it was lost.
        :raises Exception: the database's own, when its transaction could not be ended.
        """
        cause = exc.__cause__ if isinstance(exc, _AtTheEnd) else exc
        if isinstance(cause, self._Error) and self._disconnected(cause, kept):
            self._connections.drop(kept)
            # The others are as old, so most likely they are lost too.
            self._connections.forget()
            raise (_Undecided if cause is not exc else _Lost) from cause
        # A driver that was interrupted can be out of step with its server. SQLite's has none.
        if isinstance(exc, _ABRUPT) and not self._sqlite:
            self._connections.drop(kept)
            return
        try:
            if not self._sqlite:
                kept.dbapi.cursor().execute("ROLLBACK")
            elif kept.dbapi.in_transaction:
                kept.dbapi.rollback()
        except self._Error:
            self._connections.drop(kept)
        else:
            self._connections.give_back(kept)
        if cause is not None and cause is not exc:
            raise cause

    def _disconnected(self, exc: Exception, kept: Kept) -> bool:
        return self.dialect.is_disconnect(exc, kept.dbapi, None)  # type: ignore[arg-type]

    def _patiently(self, attempt: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Do it again where that is safe and can help; all errors become the library's."""
        deadline = time.monotonic() + self._timeout
        conflicts = reconnects = 0
        while True:
            try:
                return attempt(*arguments, **named)
            except AllInUse as exc:
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
                # A program of another kind has it. Short random pauses give all who wait the
                # same chance; SQLite's own, growing ones would let the newest go first.
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
        """In a child process: no thread of the parent is here to end its turn."""
        self._turns = Turns(self._alone, self._all)


def _nothing() -> None:
    """There is nothing to leave."""


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
