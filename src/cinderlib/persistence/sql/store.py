"""The store in a SQL database."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from cinderlib.errors import DamagedRecord, InvalidPersistence, StoreError
from cinderlib.persistence.base import (
    Change,
    Put,
    Query,
    Remove,
    check_keys,
    from_micros,
    micros,
    moment,
    not_json,
    stale,
    storable,
)
from cinderlib.persistence.checked import CheckedStore, decode_document
from cinderlib.persistence.sql import address, database, opening
from cinderlib.persistence.sql.columns import COMPUTED, VERSION
from cinderlib.persistence.sql.statements import Form, Statements, alike, statements, together
from cinderlib.persistence.sql.transaction import Transaction
from cinderlib.records import KINDS, Record, encode, now, replace

R = TypeVar("R", bound=Record)

#: From how many changes a transaction is large.
_MANY = 500

#: When a record was created, in microseconds, and its ID.
Place = tuple[int, str]


class SQLStore(CheckedStore):
    """Records in a database that any number of processes share.

    A new database gets its tables; an older schema is upgraded.

    :param connection: a database URL of SQLAlchemy, such as ``sqlite:///cinderlib.sqlite``
        (relative to the working directory) or ``postgresql://user:password@host/database``.
    :param timeout: seconds to wait for a lock or a connection that others hold.
    :param create: create the database if it does not exist.
    :raises InvalidPersistence: ``connection`` is missing or not a database URL, or the folder of a
        SQLite file does not exist.
    :raises StoreNotFound: the database or its tables do not exist, and ``create`` is false.
    :raises MissingDependency: no package for that database is installed.
    :raises StoreError: the database cannot be reached, or a version of the library wrote it that
        is too new for this one.
    """

    keeps_history = True
    bulk = 1000

    def __init__(self, connection: str = "", *, timeout: float = 30.0, create: bool = True) -> None:
        if not connection:
            raise InvalidPersistence(
                "A 'db' persistence needs a 'connection': a database URL such as "
                "'sqlite:///file.sqlite' or 'postgresql://user:password@host/database'."
            )
        place = opening.parse(connection)
        self.shared = not place.in_memory
        self._database = database.Database(place, timeout, create=create)
        self._dialect = dialect = self._database.dialect
        self._statements = {kind: statements(kind, dialect) for kind in KINDS.values()}
        self._locks_rows = not place.is_sqlite
        self.locks = self._database.file_locks
        if not place.is_sqlite:
            from cinderlib.persistence.sql.locks import ServerLocks

            self.locks = ServerLocks(place, timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._database)!r})"

    def get(self, kind: type[R], id: str) -> R | None:
        if not storable(id):
            return None
        rows = self._database.read(self._statements[kind].get, {"id_": id})
        return decode_document(kind, id, rows[0][0]) if rows else None

    def _find(
        self, kind: type[R], where: Mapping[str, str], after: R | None, limit: int | None
    ) -> list[R]:
        rows = self._rows(kind, where, _place(after), limit)
        return [decode_document(kind, id, document) for document, _, id in rows]

    def _scan(
        self, kind: type[R], where: Mapping[str, str], after: R | None, page: int
    ) -> Iterator[R | DamagedRecord]:
        place = _place(after)
        while True:
            rows = self._rows(kind, where, place, page)
            for document, created, id in rows:
                place = created, id
                try:
                    yield decode_document(kind, id, document)
                except DamagedRecord as exc:
                    yield exc
            if len(rows) < page:
                return

    def _rows(
        self,
        kind: type[Record],
        where: Mapping[str, str],
        after: Place | None,
        limit: int | None,
    ) -> list[tuple[bytes | str, int, str]]:
        """Documents with their places, sorted by place."""
        values: dict[str, Any] = dict(where)
        statement = self._statements[kind].find(
            tuple(sorted(values)), after is not None, limit is not None
        )
        if after is not None:
            values["after_time"], values["after_id"] = after
        if limit is not None:
            values["limit_"] = limit
        return self._database.read(statement, values)

    def query(self, *queries: Query) -> list[list[Any]]:
        values: dict[str, str] = {}
        forms: list[Form] = []
        for number, (kind, field, value, limit, like) in enumerate(queries):
            if (field != "id" and field not in kind.indexed) or not storable(value):
                return super().query(*queries)
            values[f"value_{number}"] = value
            ways = {} if like is None else alike(like)
            for way, wanted in ways.items():
                values[f"{way}_{number}"] = wanted
            forms.append((kind, field, limit, tuple(ways)))
        if len(queries) < 2 and all(query.like is None for query in queries):
            return super().query(*queries)
        rows = self._database.read(together(tuple(forms), self._dialect), values)
        if len(rows) > 1:
            rows.sort(key=_order)
        answers: list[list[Any]] = [[] for _ in queries]
        before = None
        for number, document, _, id in rows:
            if (number, id) != before:  # A record can fulfil several conditions.
                answers[number].append(decode_document(queries[number].kind, id, document))
            before = number, id
        return answers

    def _count(self, kind: type[Record], where: Mapping[str, str]) -> int:
        rows = self._database.read(self._statements[kind].count(tuple(sorted(where))), where)
        return int(rows[0][0])

    def apply(self, *changes: Change) -> tuple[Record, ...]:
        for change in changes:
            if isinstance(change, Put):
                check_keys(change.record)

        # All transactions use one order: they then wait for each other instead of a deadlock that
        # the database would have to resolve. Changes of the same record keep their order.
        order = sorted(range(len(changes)), key=[_row_of(change) for change in changes].__getitem__)

        def work(transaction: Transaction) -> tuple[Record, ...]:
            written: dict[int, Record] = {}
            if len(changes) >= _MANY:
                transaction.expect_many()
            time = now()
            for at in order:
                change = changes[at]
                if isinstance(change, Put):
                    written[at] = self._put(transaction, change, moment(time, at))
                else:
                    self._remove(transaction, change)
            return tuple(written[at] for at in sorted(written))

        return self._database.write(work) if changes else ()

    def rewrite(self, records: Sequence[Record]) -> list[Record]:
        """Write records again in one transaction; ``version`` and ``updated_at`` do not change."""

        def work(transaction: Transaction) -> list[Record]:
            left = []
            for record in sorted(records, key=lambda record: (record.kind, record.id)):
                statement = self._statements[type(record)].update
                values = {"id_": record.id, "version_": record.version}
                transaction.execute(statement, self._row(record) | values)
                if transaction.cursor.rowcount != 1:
                    left.append(record)
            return left

        left = self._database.write(work) if records else []
        self._database.forget()
        return left

    def close(self) -> None:
        self._database.close()
        if self.locks is not None:
            self.locks.close()

    def _put(self, transaction: Transaction, change: Put, time: datetime.datetime) -> Record:
        record, statements = change.record, self._statements[type(change.record)]
        version, created = record.version, record.created_at
        if not change.check or (version and created is None):
            found = self._version(transaction, statements, record.id)
            if found and created is None:
                created = found[1]
            if not change.check:
                version = found[0] if found else 0
        new = replace(record, version=version + 1, created_at=created or time, updated_at=time)
        values = self._row(new)
        if not version:
            try:
                transaction.later(statements.insert, values)
            except self._database.IntegrityError as exc:
                if change.check:
                    raise stale(change, None) from exc
                raise database.Conflict from exc
        else:
            values["id_"], values["version_"] = record.id, version
            in_place = statements.update_in_place
            written = in_place is not None and transaction.changes_one(in_place, values)
            if not (written or transaction.changes_one(statements.update, values)):
                raise self._stale(transaction, statements, change)
        return new

    def _row(self, record: Record) -> dict[str, Any]:
        try:
            document = encode(record).decode()
        except (UnicodeEncodeError, NotImplementedError, TypeError) as exc:
            raise not_json(record, exc) from None
        assert record.created_at is not None
        values = {
            "id": record.id,
            "version": record.version,
            "created_at": micros(record.created_at),
            "document": document,
        }
        for field in record.indexed:
            values[field] = getattr(record, field)
        for column, compute in COMPUTED.get(type(record), {}).items():
            values[column] = compute(record)
        return values

    def _remove(self, transaction: Transaction, change: Remove) -> None:
        if not storable(change.id):
            if change.version is not None:
                raise stale(change, None)
            return
        statements = self._statements[change.kind]
        if change.version is None:
            transaction.later(statements.remove, {"id_": change.id})
            return
        values = {"id_": change.id, "version_": change.version}
        if not transaction.changes_one(statements.remove_version, values):
            raise self._stale(transaction, statements, change)

    def _version(
        self, transaction: Transaction, statements: Statements, id: str
    ) -> tuple[int, datetime.datetime] | None:
        """The version in the database, and the time of creation. The row is locked until the end of
        the transaction."""
        statement = statements.version_locked if self._locks_rows else statements.version
        transaction.execute(statement, {"id_": id})
        row = transaction.cursor.fetchone()
        return (row[0], from_micros(row[1])) if row else None

    def _stale(
        self, transaction: Transaction, statements: Statements, change: Put | Remove
    ) -> StoreError:
        id = change.record.id if isinstance(change, Put) else change.id
        found = self._version(transaction, statements, id)
        return stale(change, found[0] if found else None)


def schema_versions(connection: str, *, timeout: float = 30.0) -> tuple[int | None, int]:
    """The version of the tables in a database, ``None`` if there are none, and their version after
    the database is opened as a store. This only reads the database.

    :param connection: as of :class:`SQLStore`.
    :param timeout: as of :class:`SQLStore`.
    :raises InvalidPersistence, MissingDependency, StoreError: as of :class:`SQLStore`.
    """
    place = opening.parse(connection)
    if address.is_missing(place):
        return None, VERSION
    database_ = database.Database(place, timeout, prepare=False)
    try:
        found = database_.schema_version()
    finally:
        database_.close()
    return found, max(found or 0, VERSION)


def _order(row: Any) -> tuple[int, int, str]:
    number, _, created, id = row
    return number, created, id


def _place(record: Record | None) -> Place | None:
    if record is None:
        return None
    return micros(record.created_at) if record.created_at else 0, record.id


def _row_of(change: Change) -> tuple[str, str]:
    if isinstance(change, Put):
        return change.record.kind, change.record.id
    return change.kind.kind, change.id


class SQLMemoryStore(SQLStore):
    """Records in a SQLite database in memory, which are lost when the process ends."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
