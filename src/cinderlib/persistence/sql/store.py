"""The store on a SQL database."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from cinderlib.errors import InvalidInput, InvalidPersistence, StoreError
from cinderlib.persistence.base import (
    Change,
    Put,
    Remove,
    Store,
    check_where,
    from_micros,
    keys,
    micros,
    stale,
    storable,
)
from cinderlib.persistence.sql import database, engine, locks
from cinderlib.persistence.sql.schema import TABLES
from cinderlib.persistence.sql.statements import Statement, Statements
from cinderlib.records import Record, decode, encode, now, replace

R = TypeVar("R", bound=Record)


class SQLStore(Store):
    """Records in a database that any number of processes share.

    A new database is given its tables, an older one is brought up to date.

    :param connection: a database URL as SQLAlchemy knows them, such as
        ``sqlite:///cinderlib.sqlite`` (relative to the working directory) or
        ``postgresql://user:password@host/database``.
    :param timeout: seconds to wait for a lock or a connection that others hold.
    :raises InvalidPersistence: ``connection`` is missing or is no database URL.
    :raises MissingDependency: no package that speaks to that database is installed.
    :raises StoreError: the database cannot be reached, or was written by a version of the library
        that is too new for this one.
    """

    def __init__(self, connection: str = "", *, timeout: float = 30.0) -> None:
        if not connection:
            raise InvalidPersistence(
                "A 'db' persistence needs a 'connection': a database URL like "
                "'sqlite:///file.sqlite' or 'postgresql://user:password@host/database'."
            )
        url = engine.parse_url(connection)
        self.shared = not engine.in_memory(url)
        self._database = database.Database(url, timeout)
        dialect = self._database.dialect
        self._statements = {kind: Statements(kind, dialect) for kind in TABLES}
        self._locks_rows = dialect.name != "sqlite"
        if dialect.name != "sqlite":
            self.locks = locks.ServerLocks(url, timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._database)!r})"

    def get(self, kind: type[R], id: str) -> R | None:
        if not storable(id):
            return None
        rows = self._read(self._statements[kind].get, {"id_": id})
        return self._decode(kind, rows[0][0]) if rows else None

    def find(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> list[R]:
        values: dict[str, Any] = dict(check_where(kind, where))
        if not all(storable(value) for value in values.values()):
            return []
        statement = self._statements[kind].find(
            tuple(sorted(values)), after is not None, limit is not None
        )
        if after is not None:
            values["after_time"] = micros(after.created_at) if after.created_at else 0
            values["after_id"] = after.id
        if limit is not None:
            values["limit_"] = max(limit, 0)
        return [self._decode(kind, row[0]) for row in self._read(statement, values)]

    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        values = check_where(kind, where)
        if not all(storable(value) for value in values.values()):
            return 0
        rows = self._read(self._statements[kind].count(tuple(sorted(values))), values)
        return int(rows[0][0])

    def apply(self, *changes: Change) -> tuple[Record, ...]:
        for change in changes:
            if isinstance(change, Put):
                keys(change.record)

        # One order for all: transactions that cross each other then wait, where one of them would
        # be ended otherwise. Changes of the same record stay as they are.
        order = sorted(range(len(changes)), key=lambda at: _row_of(changes[at]))

        def work(cursor: database.Cursor) -> tuple[Record, ...]:
            written: dict[int, Record] = {}
            for at in order:
                change = changes[at]
                if isinstance(change, Put):
                    written[at] = self._put(cursor, change)
                else:
                    self._remove(cursor, change)
            return tuple(written[at] for at in sorted(written))

        return self._database.write(work) if changes else ()

    def close(self) -> None:
        self._database.close()
        if self.locks is not None:
            self.locks.close()

    def _read(self, statement: Statement, values: Mapping[str, Any]) -> list[Any]:
        parameters = statement.parameters(values)

        def work(cursor: database.Cursor) -> list[Any]:
            cursor.execute(statement.text, parameters)
            return list(cursor.fetchall())

        return self._database.read(work)

    def _decode(self, kind: type[R], document: str) -> R:
        try:
            return decode(kind, document)
        except (msgspec.MsgspecError, UnicodeError):
            # What is in it may be secret: msgspec's message has the path and the types only, but
            # its traceback leads to the document.
            raise StoreError(
                f"A {kind.kind} in {self._database} cannot be read: its document is damaged.",
                retryable=False,
            ) from None

    def _put(self, cursor: database.Cursor, change: Put) -> Record:
        record, statements = change.record, self._statements[type(change.record)]
        version, time = record.version, now()
        created = record.created_at
        if not change.check or (version and created is None):
            found = self._version(cursor, statements, record.id)
            if found and created is None:
                created = found[1]
            if not change.check:
                version = found[0] if found else 0
        new = replace(record, version=version + 1, created_at=created or time, updated_at=time)
        values = self._row(new)
        if not version:
            try:
                self._execute(cursor, statements.insert, values)
            except self._database.IntegrityError as exc:
                if change.check:
                    raise stale(change, None) from exc
                raise database.Conflict from exc
        else:
            values |= {"id_": record.id, "version_": version}
            self._execute(cursor, statements.update, values)
            if cursor.rowcount != 1:
                raise self._stale(cursor, statements, change)
        return new

    def _row(self, record: Record) -> dict[str, Any]:
        values = {field: getattr(record, field) for field in record.indexed}
        try:
            document = encode(record).decode()
        except (UnicodeEncodeError, NotImplementedError, TypeError) as exc:
            raise InvalidInput(
                f"The {record.kind} {record.id!r} holds what JSON cannot: {type(exc).__name__}.",
                resource=record.id,
            ) from None
        assert record.created_at is not None
        return values | {
            "id": record.id,
            "version": record.version,
            "created_at": micros(record.created_at),
            "document": document,
        }

    def _remove(self, cursor: database.Cursor, change: Remove) -> None:
        if not storable(change.id):
            if change.version is not None:
                raise stale(change, None)
            return
        statements = self._statements[change.kind]
        if change.version is None:
            self._execute(cursor, statements.remove, {"id_": change.id})
            return
        values = {"id_": change.id, "version_": change.version}
        self._execute(cursor, statements.remove_version, values)
        if cursor.rowcount != 1:
            raise self._stale(cursor, statements, change)

    def _execute(
        self, cursor: database.Cursor, statement: Statement, values: Mapping[str, Any]
    ) -> None:
        cursor.execute(statement.text, statement.parameters(values))

    def _version(
        self, cursor: database.Cursor, statements: Statements, id: str
    ) -> tuple[int, datetime.datetime] | None:
        """The version that the database has, and when it was created; both cannot change before
        the transaction ends."""
        statement = statements.version_locked if self._locks_rows else statements.version
        self._execute(cursor, statement, {"id_": id})
        row = cursor.fetchone()
        return (row[0], from_micros(row[1])) if row else None

    def _stale(
        self, cursor: database.Cursor, statements: Statements, change: Put | Remove
    ) -> StoreError:
        id = change.record.id if isinstance(change, Put) else change.id
        found = self._version(cursor, statements, id)
        return stale(change, found[0] if found else None)


def _row_of(change: Change) -> tuple[str, str]:
    if isinstance(change, Put):
        return change.record.kind, change.record.id
    return change.kind.kind, change.id


class SQLMemoryStore(SQLStore):
    """Records in a SQLite database in memory: gone when the process ends."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
