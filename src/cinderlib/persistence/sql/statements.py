"""The SQL statements. They are compiled once for each database and then sent as text.

SQLAlchemy generates them for the dialect. They are executed directly on the DBAPI's cursor, because
SQLAlchemy takes longer to run a statement than SQLite does.
"""

from __future__ import annotations

import functools
import itertools
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from cinderlib.persistence import host_key
from cinderlib.persistence.base import storable
from cinderlib.persistence.sql.schema import TABLES
from cinderlib.records import ConnectionRecord, Record


class Statement:
    """A compiled statement.

    :ivar text: for the DBAPI's cursor.
    :ivar prepare: a statement to run once on each connection before; ``None`` if there is none.
    :ivar strict: a variant of the statement that fails if it changes no row; the statement itself
        if there is no such variant.
    """

    __slots__ = ("_constants", "_take", "prepare", "strict", "text")

    def __init__(
        self,
        statement: sa.ClauseElement,
        dialect: sa.Dialect,
        *,
        changes_one: bool = False,
        strict: bool = False,
        **options: Any,
    ) -> None:
        compiled: Any = statement.compile(dialect=dialect, **options)
        self.text = str(compiled)
        self.strict = self
        if changes_one and dialect.driver == "psycopg2":
            self.strict = Statement(statement, dialect, strict=True, **options)
        if strict:
            self.text = _STRICT.format(self.text)
        self.prepare: str | None = None
        if dialect.driver == "psycopg2":
            self.prepare, self.text = _prepared(self.text)
        self._take: Callable[[Mapping[str, Any]], Any] = _same
        if compiled.positional:
            self._take = _in_order(compiled.positiontup)
        # Parameters that SQLAlchemy adds, such as SQLite's OFFSET 0.
        self._constants = {k: v for k, v in compiled.params.items() if v is not None}

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """The values in the form that the DBAPI takes."""
        if self._constants:
            values = {**self._constants, **values}
        return self._take(values)


def _same(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values


def _in_order(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """A function that returns the values of these names."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])


def _prepared(text: str) -> tuple[str, str]:
    """PostgreSQL takes longer to plan a statement than to run it, and psycopg2 does not cache
    plans. Therefore a separate statement prepares it.

    :returns: the statement that prepares it, and the statement that runs it.
    """
    names = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
    name = f"cinderlib_{next(_numbers)}"
    body = _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", text).replace("%%", "%")
    values = ", ".join(f"%({each})s" for each in names)
    return f"PREPARE {name} AS {body}", f"EXECUTE {name} ({values})" if names else f"EXECUTE {name}"


#: PostgreSQL has no other way to fail in one statement depending on the result of another.
_STRICT = "WITH changed AS ({} RETURNING 1) SELECT 1 / count(*) FROM changed"
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_numbers = itertools.count(1)


def statements(kind: type[Record], dialect: sa.Dialect) -> Statements:
    """All statements for one kind of record. Stores with the same database and driver share them,
    because compiling a statement takes longer than running most of them."""
    key = kind, dialect.name, dialect.driver
    if key not in _shared:
        _shared[key] = Statements(kind, dialect)
    return _shared[key]


class Statements:
    """See :func:`statements`."""

    def __init__(self, kind: type[Record], dialect: sa.Dialect) -> None:
        self._table = table = TABLES[kind]
        self._dialect = dialect
        # SQLite stores bytes without checking them. Read as text, a damaged value would fail the
        # whole query. The other databases check text when they store it.
        self._document: Any = table.c.document
        if dialect.name == "sqlite":
            self._document = sa.cast(table.c.document, sa.LargeBinary)
        self._by_id = table.c.id == sa.bindparam("id_", type_=table.c.id.type)
        version = sa.bindparam("version_", type_=sa.BigInteger)
        self._by_version = self._by_id & (table.c.version == version)
        self._versions = sa.select(table.c.version, table.c.created_at).where(self._by_id)
        self.find = functools.cache(self._find)
        self.count = functools.cache(self._count)

    # Compiled on first use: compiling takes time, and most processes need only a few of them.

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
        update = sa.update(self._table).where(self._by_version).values(values)
        return self._make(update, changes_one=True)

    @functools.cached_property
    def update_in_place(self) -> Statement | None:
        """An update for a record whose values in all indexes stay the same; otherwise it changes no
        row. SQLite rewrites every index with a column in SET, even if its value is equal; the other
        databases compare the values."""
        if self._dialect.name != "sqlite":
            return None
        set_ = ("version", "document")
        stay = [
            column.is_not_distinct_from(sa.bindparam(column.name, type_=column.type))
            for column in self._table.columns
            if column.name not in ("id", *set_)
        ]
        update = sa.update(self._table).where(self._by_version, *stay)
        return self._make(update.values({name: sa.bindparam(name) for name in set_}))

    @functools.cached_property
    def remove(self) -> Statement:
        return self._make(sa.delete(self._table).where(self._by_id))

    @functools.cached_property
    def remove_version(self) -> Statement:
        return self._make(sa.delete(self._table).where(self._by_version), changes_one=True)

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
                # They do not use an index for a comparison of rows.
                query = query.where(created >= time, (created > time) | (id > after_id))
            else:
                query = query.where(sa.tuple_(created, id) > sa.tuple_(time, after_id))
        if limited:
            query = query.limit(sa.bindparam("limit_", type_=sa.BigInteger))
        return self._make(query)

    def parts(self, number: int, form: Form) -> list[sa.Select[Any]]:
        """A query as one or more parts of a UNION; see :func:`together`."""
        _, field, limit, alike = form
        table = self._table.c
        columns = self._document.label("document"), table.created_at, table.id
        query = sa.select(sa.literal_column(str(number)).label("number"), *columns).where(
            table[field] == sa.bindparam(f"value_{number}")
        )
        if alike:
            # Each part reads a range of an index; conditions joined by OR may not. Older versions
            # of the library write rows without a key.
            ways = [self._alike(way, f"{way}_{number}") for way in alike]
            return [query.where(way) for way in (*ways, table.host_key.is_(None))]
        if limit is None:
            return [query]
        query = query.order_by(table.created_at, table.id)
        first = query.limit(sa.literal_column(str(limit))).subquery()
        return [sa.select(*first.c)]

    def _alike(self, way: str, name: str) -> sa.ColumnElement[bool]:
        """A condition by which a connection can be like another; see :func:`alike`."""
        table = self._table.c
        value: sa.BindParameter[str] = sa.bindparam(name, type_=table.id.type)
        return {
            "id": table.id == value,
            "host": table.attached_host == value,
            "key": table.host_key == value,
            "before": table.host_key < value,
            "behind": table.host_key >= value,
        }[way]

    def _count(self, fields: tuple[str, ...]) -> Statement:
        return self._make(
            sa.select(sa.func.count()).select_from(self._table).where(*self._equal(fields))
        )


#: The form of a query: the kind, the field, the limit, and the conditions by which a record can be
#: like the specified one.
Form = tuple[type[Record], str, int | None, tuple[str, ...]]


def alike(connection: ConnectionRecord) -> dict[str, str]:
    """The conditions by which another connection can be like this one (see
    :class:`cinderlib.persistence.base.Query`), and the value of the other's field in each."""
    key = host_key.key(connection)
    before, behind = host_key.may_be(key)
    ways = {
        "id": connection.id,
        "host": connection.attached_host,
        "key": key,
        "before": before,
        "behind": behind,
    }
    return {way: value for way, value in ways.items() if value and storable(value)}


def together(forms: tuple[Form, ...], dialect: sa.Dialect) -> Statement:
    """Several queries in one statement. A row has the number of the query, the document, the
    time of creation and the ID. The values are named ``value_0`` and so on."""
    key = forms, dialect.name, dialect.driver
    if key not in _together:
        parts = [statements(form[0], dialect).parts(at, form) for at, form in enumerate(forms)]
        _together[key] = Statement(sa.union_all(*itertools.chain(*parts)), dialect)
    return _together[key]


_shared: dict[tuple[type[Record], str, str], Statements] = {}
_together: dict[tuple[tuple[Form, ...], str, str], Statement] = {}
