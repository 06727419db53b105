"""The statements, made once for each database and then sent as text.

SQLAlchemy writes them, for whatever dialect it is; they go to the DBAPI's cursor directly, because
running a statement through SQLAlchemy takes longer than SQLite takes to do the work.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cinderlib.persistence.sql.schema import TABLES
from cinderlib.records import Record


class Statement:
    """A compiled statement. ``parameters`` brings values into the form that the DBAPI takes."""

    __slots__ = ("_constants", "_positions", "text")

    def __init__(self, statement: sa.ClauseElement, dialect: sa.Dialect, **options: Any) -> None:
        compiled: Any = statement.compile(dialect=dialect, **options)
        self.text = str(compiled)
        self._positions: list[str] | None = compiled.positiontup if compiled.positional else None
        # What SQLAlchemy adds on its own, such as SQLite's OFFSET 0.
        self._constants = {k: v for k, v in compiled.params.items() if v is not None}

    def parameters(self, values: Mapping[str, Any]) -> Any:
        if self._constants:
            values = {**self._constants, **values}
        if self._positions is None:
            return values
        return tuple([values[name] for name in self._positions])


def statements(kind: type[Record], dialect: sa.Dialect) -> Statements:
    """All statements on one kind of record. All stores that speak to their database in one way have
    them in common: compiling one takes longer than most of them run."""
    key = kind, dialect.name, dialect.driver
    if key not in _shared:
        _shared[key] = Statements(kind, dialect)
    return _shared[key]


class Statements:
    """See :func:`statements`."""

    def __init__(self, kind: type[Record], dialect: sa.Dialect) -> None:
        self._table = table = TABLES[kind]
        self._dialect = dialect
        # SQLite stores whatever bytes it is given: as text, one that is damaged would fail the
        # whole query. The others have checked it.
        self._document: Any = table.c.document
        if dialect.name == "sqlite":
            self._document = sa.cast(table.c.document, sa.LargeBinary)
        self._by_id = table.c.id == sa.bindparam("id_", type_=table.c.id.type)
        version = sa.bindparam("version_", type_=sa.BigInteger)
        self._by_version = self._by_id & (table.c.version == version)
        self._versions = sa.select(table.c.version, table.c.created_at).where(self._by_id)
        self.find = functools.cache(self._find)
        self.count = functools.cache(self._count)

    # Compiling takes time, and most processes need a few of them.

    @functools.cached_property
    def get(self) -> Statement:
        return self._make(sa.select(self._document).where(self._by_id))

    @functools.cached_property
    def version(self) -> Statement:
        return self._make(self._versions)

    @functools.cached_property
    def version_locked(self) -> Statement:
        return self._make(self._versions.with_for_update())

    @functools.cached_property
    def insert(self) -> Statement:
        columns = [column.name for column in self._table.columns]
        return self._make(sa.insert(self._table), column_keys=columns)

    @functools.cached_property
    def update(self) -> Statement:
        names = [column.name for column in self._table.columns if column.name != "id"]
        values: dict[str, Any] = {name: sa.bindparam(name) for name in names}
        return self._make(sa.update(self._table).where(self._by_version).values(values))

    @functools.cached_property
    def remove(self) -> Statement:
        return self._make(sa.delete(self._table).where(self._by_id))

    @functools.cached_property
    def remove_version(self) -> Statement:
        return self._make(sa.delete(self._table).where(self._by_version))

    def _make(self, statement: sa.ClauseElement, **options: Any) -> Statement:
        return Statement(statement, self._dialect, **options)

    def _equal(self, fields: tuple[str, ...]) -> list[sa.ColumnElement[bool]]:
        return [self._table.c[field] == sa.bindparam(field) for field in fields]

    def _find(self, fields: tuple[str, ...], after: bool, limited: bool) -> Statement:
        created, id = self._table.c.created_at, self._table.c.id
        query = sa.select(self._document, created, id).where(*self._equal(fields))
        query = query.order_by(created, id)
        if after:
            time = sa.bindparam("after_time", type_=sa.BigInteger)
            after_id = sa.bindparam("after_id", type_=id.type)
            if self._dialect.name in ("mysql", "mariadb"):
                # They use no index for a comparison of rows.
                query = query.where(created >= time, (created > time) | (id > after_id))
            else:
                query = query.where(sa.tuple_(created, id) > sa.tuple_(time, after_id))
        if limited:
            query = query.limit(sa.bindparam("limit_", type_=sa.BigInteger))
        return self._make(query)

    def _count(self, fields: tuple[str, ...]) -> Statement:
        return self._make(
            sa.select(sa.func.count()).select_from(self._table).where(*self._equal(fields))
        )


_shared: dict[tuple[type[Record], str, str], Statements] = {}
