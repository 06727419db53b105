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


class Statements:
    """All statements on one kind of record."""

    def __init__(self, kind: type[Record], dialect: sa.Dialect) -> None:
        self._table = table = TABLES[kind]
        self._dialect = dialect
        columns = [column.name for column in table.columns]
        by_id = table.c.id == sa.bindparam("id_", type_=table.c.id.type)
        by_version = by_id & (table.c.version == sa.bindparam("version_", type_=sa.BigInteger))
        values: dict[str, Any] = {name: sa.bindparam(name) for name in columns if name != "id"}
        versions = sa.select(table.c.version, table.c.created_at).where(by_id)
        self.get = self._make(sa.select(table.c.document).where(by_id))
        self.version = self._make(versions)
        self.version_locked = self._make(versions.with_for_update())
        self.insert = self._make(sa.insert(table), column_keys=columns)
        self.update = self._make(sa.update(table).where(by_version).values(values))
        self.remove = self._make(sa.delete(table).where(by_id))
        self.remove_version = self._make(sa.delete(table).where(by_version))
        self.find = functools.cache(self._find)
        self.count = functools.cache(self._count)

    def _make(self, statement: sa.ClauseElement, **options: Any) -> Statement:
        return Statement(statement, self._dialect, **options)

    def _equal(self, fields: tuple[str, ...]) -> list[sa.ColumnElement[bool]]:
        return [self._table.c[field] == sa.bindparam(field) for field in fields]

    def _find(self, fields: tuple[str, ...], after: bool, limited: bool) -> Statement:
        created, id = self._table.c.created_at, self._table.c.id
        query = sa.select(self._table.c.document).where(*self._equal(fields))
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
