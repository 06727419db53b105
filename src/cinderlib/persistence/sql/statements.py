"""The SQL statements. They are generated once for each database and then sent as text.

They are executed directly on the DBAPI's cursor. SQLAlchemy could generate them too, but its import
takes longer than most commands.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cinderlib.persistence import host_key
from cinderlib.persistence.base import storable
from cinderlib.persistence.sql.columns import columns, table
from cinderlib.records import ConnectionRecord, Record

#: A value in a statement before it is translated for a DBAPI.
_VALUE = re.compile(r":(\w+)")

#: The values that are integers of 64 bits; all others are text.
_INTEGERS = frozenset({"version", "version_", "created_at", "after_time", "limit_"})

#: Packages that number the values by position, and the sign for a value in a statement.
_POSITIONAL = {
    "pysqlite": "?",
    "mariadbconnector": "?",
    "pg8000": "%s",
    "pymysql": "%s",
    "mysqldb": "%s",
    "mysqlconnector": "%s",
}


@dataclasses.dataclass(frozen=True)
class Dialect:
    """A kind of database and the package that connects to it, by SQLAlchemy's names."""

    name: str
    driver: str

    def translate(self, text: str) -> tuple[str, list[str] | None]:
        """A statement for the DBAPI, and the names of the values by position; ``None`` if the DBAPI
        takes values by name.

        :param text: the statement, in which ``:name`` is a value.
        """
        sign = _POSITIONAL.get(self.driver)
        names: list[str] = []

        def value(found: re.Match[str]) -> str:
            name = found[1]
            names.append(name)
            placeholder = sign or f"%({name})s"
            # Packages that send values separately also send their types, which the server does not
            # always convert.
            if self.name == "postgresql" and self.driver != "psycopg2":
                placeholder += "::BIGINT" if name in _INTEGERS else "::VARCHAR"
            return placeholder

        translated = _VALUE.sub(value, text)
        return translated, names if sign else None


class Statement:
    """A statement for one kind of database.

    :ivar text: for the DBAPI's cursor.
    :ivar prepare: a statement to run once on each connection before; ``None`` if there is none.
    :ivar strict: a variant of the statement that fails if it changes no row; the statement itself
        if there is no such variant.
    """

    __slots__ = ("parameters", "prepare", "strict", "text")

    def __init__(
        self, text: str, dialect: Dialect, *, changes_one: bool = False, strict: bool = False
    ) -> None:
        self.text, names = dialect.translate(text)
        self.strict = self
        if changes_one and dialect.driver == "psycopg2":
            self.strict = Statement(text, dialect, strict=True)
        if strict:
            self.text = _STRICT.format(self.text)
        self.prepare: str | None = None
        if dialect.driver == "psycopg2":
            self.prepare, self.text = _prepared(self.text)
        #: The values in the form that the DBAPI takes.
        self.parameters: Callable[[Mapping[str, Any]], Any] = (
            _same if names is None else _in_order(names)
        )


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


def statements(kind: type[Record], dialect: Dialect) -> Statements:
    """All statements for one kind of record. Stores with the same database and driver share
    them."""
    key = kind, dialect
    if key not in _shared:
        _shared[key] = Statements(kind, dialect)
    return _shared[key]


class Statements:
    """See :func:`statements`."""

    def __init__(self, kind: type[Record], dialect: Dialect) -> None:
        self._table = table(kind)
        self._columns = columns(kind)
        self._dialect = dialect
        # SQLite stores bytes without checking them. Read as text, a damaged value would fail the
        # whole query. The other databases check text when they store it.
        self._document = "document"
        if dialect.name == "sqlite":
            self._document = "CAST(document AS BLOB) AS document"
        self.find = functools.cache(self._find)
        self.count = functools.cache(self._count)

    # Generated on first use: most processes need only a few of them.

    @functools.cached_property
    def get(self) -> Statement:
        return self._make(f"SELECT {self._document} FROM {self._table} WHERE id = :id_")

    @functools.cached_property
    def version(self) -> Statement:
        return self._make(self._versions)

    @functools.cached_property
    def version_locked(self) -> Statement:
        return self._make(f"{self._versions} FOR UPDATE")

    @property
    def _versions(self) -> str:
        return f"SELECT version, created_at FROM {self._table} WHERE id = :id_"

    @functools.cached_property
    def insert(self) -> Statement:
        names, values = ", ".join(self._columns), ", ".join(f":{name}" for name in self._columns)
        return self._make(f"INSERT INTO {self._table} ({names}) VALUES ({values})")

    @functools.cached_property
    def update(self) -> Statement:
        return self._make(self._update([c for c in self._columns if c != "id"]), changes_one=True)

    @functools.cached_property
    def update_in_place(self) -> Statement | None:
        """An update for a record whose values in all indexes stay the same; otherwise it changes no
        row. SQLite rewrites every index with a column in SET, even if its value is equal; the other
        databases compare the values."""
        if self._dialect.name != "sqlite":
            return None
        changed = ("version", "document")
        stay = [f" AND {c} IS :{c}" for c in self._columns if c not in ("id", *changed)]
        return self._make(self._update(changed) + "".join(stay))

    def _update(self, names: Sequence[str]) -> str:
        changed = ", ".join(f"{name} = :{name}" for name in names)
        return f"UPDATE {self._table} SET {changed} WHERE {_BY_VERSION}"

    @functools.cached_property
    def remove(self) -> Statement:
        return self._make(f"DELETE FROM {self._table} WHERE id = :id_")

    @functools.cached_property
    def remove_version(self) -> Statement:
        return self._make(f"DELETE FROM {self._table} WHERE {_BY_VERSION}", changes_one=True)

    def _make(self, text: str, *, changes_one: bool = False) -> Statement:
        return Statement(text, self._dialect, changes_one=changes_one)

    def _find(self, fields: tuple[str, ...], after: bool, limited: bool) -> Statement:
        conditions = [f"{field} = :{field}" for field in fields]
        if after and self._dialect.name in ("mysql", "mariadb"):
            # They do not use an index for a comparison of rows.
            conditions += [
                "created_at >= :after_time",
                "(created_at > :after_time OR id > :after_id)",
            ]
        elif after:
            conditions.append("(created_at, id) > (:after_time, :after_id)")
        return self._make(
            f"SELECT {self._document}, created_at, id FROM {self._table}{_where(conditions)}"
            f" ORDER BY created_at, id{' LIMIT :limit_' if limited else ''}"
        )

    def parts(self, number: int, form: Form) -> list[str]:
        """A query as one or more parts of a UNION; see :func:`together`."""
        _, field, limit, alike = form
        query = (
            f"SELECT {number} AS number, {self._document}, created_at, id FROM {self._table}"
            f" WHERE {field} = :value_{number}"
        )
        if alike:
            # Each part reads a range of an index; conditions joined by OR may not. Older versions
            # of the library write rows without a key.
            ways = [f"{_ALIKE[way]} :{way}_{number}" for way in alike]
            return [f"{query} AND {way}" for way in (*ways, "host_key IS NULL")]
        if limit is None:
            return [query]
        first = f"{query} ORDER BY created_at, id LIMIT {limit}"
        return [f"SELECT number, document, created_at, id FROM ({first}) AS part_{number}"]

    def _count(self, fields: tuple[str, ...]) -> Statement:
        conditions = [f"{field} = :{field}" for field in fields]
        return self._make(f"SELECT count(*) FROM {self._table}{_where(conditions)}")


_BY_VERSION = "id = :id_ AND version = :version_"

#: The conditions by which a connection can be like another; see :func:`alike`.
_ALIKE = {
    "id": "id =",
    "host": "attached_host =",
    "key": "host_key =",
    "before": "host_key <",
    "behind": "host_key >=",
}


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


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


def together(forms: tuple[Form, ...], dialect: Dialect) -> Statement:
    """Several queries in one statement. A row has the number of the query, the document, the
    time of creation and the ID. The values are named ``value_0`` and so on."""
    key = forms, dialect
    if key not in _together:
        parts = [statements(form[0], dialect).parts(at, form) for at, form in enumerate(forms)]
        _together[key] = Statement(" UNION ALL ".join(itertools.chain(*parts)), dialect)
    return _together[key]


_shared: dict[tuple[type[Record], Dialect], Statements] = {}
_together: dict[tuple[tuple[Form, ...], Dialect], Statement] = {}
