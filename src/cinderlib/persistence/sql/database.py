"""Reads and transactions on one database: waits for locks, reconnects after a restart of the
server, and converts errors."""

from __future__ import annotations

import logging
import os
import random
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from cinderlib.errors import StoreError
from cinderlib.locking.files import FileLocks
from cinderlib.locking.locks import STRIPES
from cinderlib.persistence.sql import address, connections, failures, new_sqlite, opening
from cinderlib.persistence.sql.columns import SCHEMA_TABLE, VERSION
from cinderlib.persistence.sql.connections import AllInUse, Connections, Kept
from cinderlib.persistence.sql.sqlite import FOR_MANY
from cinderlib.persistence.sql.statements import Dialect, Statement
from cinderlib.persistence.sql.transaction import OneByOne, Together, Transaction, Values, rows
from cinderlib.persistence.sql.turns import Job, Turns

LOG = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")
Work = Callable[[Transaction], Any]

#: Maximum attempts of a transaction that the database aborted in favour of another.
ATTEMPTS = 20

#: Exceptions that end a call from outside: Ctrl-C, a signal handler that exits.
_ABRUPT = (KeyboardInterrupt, SystemExit, GeneratorExit)

#: The lock for which processes queue that write to a file. Locks of resources have lower numbers.
_QUEUE = STRIPES

_databases: weakref.WeakSet[Database] = weakref.WeakSet()


class Conflict(Exception):
    """Raised by a transaction's work: another writer was faster, and the work must start again."""


class _Lost(Exception):
    """The connection was lost before the commit."""


class _AtTheEnd(Exception):
    """A transaction failed while the database was committing it."""


class _Unclear(Exception):
    """A row already exists or has another version than expected. Several statements were sent
    together, so it is not known which one failed."""


class _Undecided(Exception):
    """The connection was lost during the commit."""


class Database:
    """A database with the schema of this version of the library.

    :param timeout: seconds to wait for a lock or a connection that others hold.
    :param prepare: create the tables or upgrade them to this version if necessary.
    :param create: create the database if it is missing; otherwise a missing database is an error.
    """

    def __init__(
        self, place: address.Address, timeout: float, *, prepare: bool = True, create: bool = True
    ) -> None:
        self._name = place.display_name
        self._timeout = timeout
        self._opener = opening.opener(place, timeout)
        self.dialect = Dialect(place.name, place.driver)
        dbapi = self._opener.dbapi
        self._Error: type[Exception] = dbapi.Error
        self._failures = failures.Failures(self._name, place.secrets, dbapi)
        self.IntegrityError: type[Exception] = dbapi.IntegrityError
        self._closed = False
        self._sqlite = place.is_sqlite
        self._turns = Turns(self._alone, self._all)
        path = place.path
        #: Next to the file, so that all users of the database find them.
        self.file_locks = None if path is None else FileLocks(f"{path}-locks", like=path)
        self._together = self.dialect.driver == "psycopg2"
        _databases.add(self)
        try:
            address.refuse_second_name(place)
            if prepare:
                address.ensure_file(place, create=create)
            self._connections = Connections(
                self._opener, connections.MOST, timeout, only=place.in_memory
            )
            if prepare:
                self._patiently(self._use, lambda kept: self._ensure_schema(kept, create=create))
        except BaseException:
            self._opener.dispose()
            raise

    def __str__(self) -> str:
        return self._name

    def read(self, statement: Statement, values: Values) -> list[Any]:
        """The rows that a statement returns, outside any transaction.

        :raises StoreError: the database failed.
        """
        return self._patiently(self._use, lambda kept: rows(kept, statement, values))

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Call ``work`` with a transaction. The transaction is committed when ``work`` returns and
        rolled back when it raises. ``work`` may be called more than once.

        :raises StoreError: the database failed. Nothing changed, unless the message reports
            otherwise.
        """
        if self._sqlite:
            return self._patiently(self._write_to_sqlite, work)
        if self._together:
            try:
                return self._patiently(self._use, lambda kept: self._commit(Together(kept), work))
            except _Unclear:
                pass  # Sent one by one, the statements show which of them fails.
        return self._patiently(self._use, lambda kept: self._commit(OneByOne(kept), work))

    def _write_to_sqlite(self, work: Callable[[Transaction], T]) -> T:
        try:
            result: T = self._turns.do(work, self._timeout)
        except TimeoutError:
            problem = f"other threads used it for {self._timeout:g} seconds"
            raise self._failures.error(problem) from None
        return result

    def _alone(self, work: Callable[[Transaction], T]) -> T:
        """Run one job in an SQLite transaction. This thread has the turn."""
        leave = self._enter_queue()
        try:
            # IMMEDIATE takes SQLite's write lock at once. If a transaction reads first and takes
            # the lock at its first write, it cannot wait for the lock and fails.
            return self._use(
                lambda kept: self._commit(OneByOne(kept, "BEGIN IMMEDIATE", FOR_MANY), work)
            )
        finally:
            leave()

    def _all(self, jobs: Sequence[Job[Work]]) -> None:
        """Run several jobs in one transaction. A job that raises is rolled back alone."""

        def work(transaction: Transaction) -> None:
            cursor = transaction.cursor
            for job in jobs:
                cursor.execute("SAVEPOINT job")
                try:
                    job.result = job.work(transaction)
                except self._Error:
                    raise  # The error may have ended the transaction.
                except Exception as exc:
                    job.error = exc
                    cursor.execute("ROLLBACK TO job")
                cursor.execute("RELEASE job")

        self._alone(work)

    def _enter_queue(self) -> Callable[[], None]:
        """Wait for the turn of this process. SQLite has a lock without a queue: waiting processes
        must poll it, mostly in vain, and a new one is as likely to get the lock as the others."""
        if self.file_locks is None:
            return _nothing
        try:
            leave = self.file_locks.take([_QUEUE], self._timeout)
        except StoreError:
            return _nothing  # The lock file cannot be created or opened: SQLite's lock is enough.
        if leave is None:
            raise self._failures.error(f"other processes used it for {self._timeout:g} seconds")
        return leave

    def _commit(self, transaction: Transaction, work: Callable[[Transaction], T]) -> T:
        ending = False
        try:
            result = work(transaction)
            transaction.before_commit()
            ending = True
            transaction.commit()
        except self._Error as exc:
            if isinstance(transaction, Together) and transaction.is_unclear(exc):
                raise _Unclear from exc
            if ending:
                raise _AtTheEnd from exc
            raise
        return result

    def _ensure_schema(self, kept: Kept, *, create: bool) -> None:
        if self._is_current(kept):
            return
        if self._sqlite and create:
            new_sqlite.create_tables(kept.dbapi)
            if self._is_current(kept):
                return
        from cinderlib.persistence.sql import upgrade

        engine = self._opener.engine(kept.dbapi)
        upgrade.ensure(engine, str(self), self._timeout, create=create)

    def _is_current(self, kept: Kept) -> bool:
        try:
            cursor = kept.dbapi.cursor()
            cursor.execute(f"SELECT version FROM {SCHEMA_TABLE}")  # noqa: S608 - a constant
            return bool(cursor.fetchall() == [(VERSION,)])
        except self._Error:
            return False  # The tables are missing, or the next step finds another reason.

    def schema_version(self) -> int | None:
        """The version of the tables, ``None`` if there are no tables.

        :raises StoreError: the database failed, or its version is too new for this version.
        """
        from cinderlib.persistence.sql import upgrade

        return self._patiently(
            self._use, lambda kept: upgrade.version(self._opener.engine(kept.dbapi), str(self))
        )

    def forget(self) -> None:
        """Remove overwritten data from the disk, as far as the library can. SQLite keeps the data
        in its log until the log is truncated, which is not possible while others read."""
        if self._sqlite:
            text = "PRAGMA wal_checkpoint(TRUNCATE)"
            self._patiently(self._use, lambda kept: kept.dbapi.execute(text).fetchall())

    def close(self) -> None:
        self._closed = True
        self._connections.forget()
        if self.file_locks is not None:
            self.file_locks.close()

    def _use(self, work: Callable[[Kept], T]) -> T:
        """Call ``work`` with a connection. After an error, the connection is given back without an
        open transaction, or closed."""
        if self._closed:
            raise StoreError(f"The store {self} is closed.", retryable=False)
        kept = self._connections.take()
        try:
            result = work(kept)
        except BaseException as exc:
            self._clean_up(kept, exc)
            raise
        self._connections.give_back(kept)
        return result

    def _clean_up(self, kept: Kept, exc: BaseException) -> None:
        """End the transaction on a connection after an error.

        :raises _Lost, _Undecided: the connection was lost.
        :raises Exception: the database's own exception, if its transaction could not be ended.
        """
        cause = exc.__cause__ if isinstance(exc, _AtTheEnd) else exc
        if isinstance(cause, self._Error) and self._disconnected(cause, kept):
            self._connections.drop(kept)
            # The other connections are as old, so they are probably lost too.
            self._connections.forget()
            raise (_Undecided if cause is not exc else _Lost) from cause
        # An interrupted driver can be out of step with its server. SQLite has no server.
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
        return self._opener.is_disconnect(exc, kept.dbapi)

    def _patiently(self, attempt: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Retry while that is safe and can help; convert all errors to the library's."""
        deadline = time.monotonic() + self._timeout
        conflicts = reconnects = 0
        while True:
            try:
                return attempt(*arguments, **named)
            except AllInUse as exc:
                raise self._failures.error("all connections are in use", exc) from exc
            except failures.NotOfDatabase as exc:
                raise self._failures.error(
                    self._failures.text(exc.error), exc.error
                ) from self._failures.harmless(exc.error)
            except self._Error as exc:
                error: BaseException = exc
            except _Lost as exc:
                error = exc.__cause__ or exc
                if not reconnects:
                    LOG.info("Connecting to %s again", self)
                    reconnects += 1
                    continue
            except _Undecided as exc:
                raise self._failures.error(
                    "the connection was lost at the end of a transaction, and it is unknown "
                    "whether it was written; read the records before you continue",
                    exc.__cause__,
                ) from None
            except Conflict as exc:
                error = exc.__cause__ or exc
                if conflicts >= ATTEMPTS:
                    raise self._failures.error(
                        "other writers were faster each time", error
                    ) from None
                conflicts += 1
                continue
            if failures.is_busy(error):
                if time.monotonic() > deadline:
                    problem = f"another program locked it for {self._timeout:g} seconds"
                    raise self._failures.error(problem, error) from error
                # A program of another kind has the lock. Short random pauses give all waiting
                # processes the same chance. SQLite's own increasing pauses would favour new ones.
                time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311
            elif failures.is_deadlock(error) and conflicts < ATTEMPTS:
                conflicts += 1
                time.sleep(random.uniform(0, 0.002) * conflicts)  # noqa: S311
            else:
                raise self._failures.error(
                    self._failures.text(error), error
                ) from self._failures.harmless(error)

    def after_fork(self) -> None:
        """In a child process: start without the turn of a parent's thread, which does not run
        here."""
        self._turns = Turns(self._alone, self._all)


def _nothing() -> None:
    """Leave no queue."""


def _after_fork() -> None:
    for database in list(_databases):
        database.after_fork()


os.register_at_fork(after_in_child=_after_fork)
