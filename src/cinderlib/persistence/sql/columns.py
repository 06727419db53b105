"""The names of the tables and their columns, which statements need. :mod:`.schema` defines them for
SQLAlchemy, whose import takes longer than most commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cinderlib.persistence import host_key
from cinderlib.records import ConnectionRecord, Record

#: The schema version that this version of the library writes. Each migration increases it by one.
VERSION = 3

PREFIX = "cinderlib_"

#: One row: the version of the schema, and the oldest schema version of the library that can still
#: read and write it. A migration that only adds columns or tables does not change ``min_reader``.
SCHEMA_TABLE = f"{PREFIX}schema"

#: Columns that are computed from a record.
COMPUTED: Mapping[type[Record], Mapping[str, Callable[[Any], str | None]]] = {
    ConnectionRecord: {"host_key": host_key.key}
}


def table(kind: type[Record]) -> str:
    """The name of the table for a kind of record."""
    return PREFIX + kind.kind


def keys(kind: type[Record]) -> tuple[str, ...]:
    """The columns for queries, which contain a field or a computed value."""
    return (*kind.indexed, *COMPUTED.get(kind, ()))


def columns(kind: type[Record]) -> tuple[str, ...]:
    """All columns of a table."""
    return ("id", "version", "created_at", *keys(kind), "document")
