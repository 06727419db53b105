"""The statements, made once for each database and then sent as text.

SQLAlchemy writes them, for whatever dialect it is; they go to the DBAPI's cursor directly, because
running a statement through SQLAlchemy takes longer than SQLite takes to do the work.
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

    :ivar text: what the DBAPI's cursor is given.
    :ivar prepare: what each connection has to be told once before; ``None`` for nothing.
    :ivar strict: the same statement as one that fails when it changes no row; itself where there is
        no such form.
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
        # What SQLAlchemy adds on its own, such as SQLite's OFFSET 0.
        self._constants = {k: v for k, v in compiled.params.items() if v is not None}

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """The values in the form that the DBAPI takes."""
        if self._constants:
            values = {**self._constants, **values}
        return self._take(values)


def _same(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values


def _in_order(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Gives the values of these names."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return lambda values: tuple([values[name] for name in names])


def _prepared(text: str) -> tuple[str, str]:
    """PostgreSQL takes longer to plan a statement than to do it, and psycopg2 has it planned each
    time: so it is prepared by a statement of its own.

    :returns: the one that prepares it, and the one that runs it.
    """
    names = list(dict.fromkeys(_PLACEHOLDER.findall(text)))
    name = f"cinderlib_{next(_numbers)}"
    body = _PLACEHOLDER.sub(lambda found: f"${names.index(found[1]) + 1}", text).replace("%%", "%")
    values = ", ".join(f"%({each})s" for each in names)
    return f"PREPARE {name} AS {body}", f"EXECUTE {name} ({values})" if names else f"EXECUTE {name}"


#: PostgreSQL has no other way to fail in a statement for what another one has found.
_STRICT = "WITH changed AS ({} RETURNING 1) SELECT 1 / count(*) FROM changed"
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_numbers = itertools.count(1)


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
        update = sa.update(self._table).where(self._by_version).values(values)
        return self._make(update, changes_one=True)

    @functools.cached_property
    def update_in_place(self) -> Statement | None:
        """The same for a record that stays where it is in every index, and else changes no row.
        SQLite writes each index anew that has a column which is set, be it to what it was; the
        others look."""
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
                # They use no index for a comparison of rows.
                query = query.where(created >= time, (created > time) | (id > after_id))
            else:
                query = query.where(sa.tuple_(created, id) > sa.tuple_(time, after_id))
        if limited:
            query = query.limit(sa.bindparam("limit_", type_=sa.BigInteger))
        return self._make(query)

    def parts(self, number: int, form: Form) -> list[sa.Select[Any]]:
        """A query as one of several, or more than one; see :func:`together`."""
        _, field, limit, alike = form
        table = self._table.c
        columns = self._document.label("document"), table.created_at, table.id
        query = sa.select(sa.literal_column(str(number)).label("number"), *columns).where(
            table[field] == sa.bindparam(f"value_{number}")
        )
        if alike:
            # Each is a range of an index, which conditions joined by OR need not be. Without a key
            # are those that an older version of the library writes.
            ways = [self._alike(way, f"{way}_{number}") for way in alike]
            return [query.where(way) for way in (*ways, table.host_key.is_(None))]
        if limit is None:
            return [query]
        query = query.order_by(table.created_at, table.id)
        first = query.limit(sa.literal_column(str(limit))).subquery()
        return [sa.select(*first.c)]

    def _alike(self, way: str, name: str) -> sa.ColumnElement[bool]:
        """How a connection can be like another; see :func:`alike`."""
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


#: The form of a query: the kind, the field that is asked for, the limit, and in which ways a record
#: can be like the one that is asked for.
Form = tuple[type[Record], str, int | None, tuple[str, ...]]


def alike(connection: ConnectionRecord) -> dict[str, str]:
    """The ways in which another connection can be like this one, see
    :class:`cinderlib.persistence.base.Query`, and of what value the other's field then is."""
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
    """Several queries in one statement: the number of the query that a row answers, its document,
    when it was created, its id. The values are named ``value_0`` and so on."""
    key = forms, dialect.name, dialect.driver
    if key not in _together:
        parts = [statements(form[0], dialect).parts(at, form) for at, form in enumerate(forms)]
        _together[key] = Statement(sa.union_all(*itertools.chain(*parts)), dialect)
    return _together[key]


_shared: dict[tuple[type[Record], str, str], Statements] = {}
_together: dict[tuple[tuple[Form, ...], str, str], Statement] = {}
