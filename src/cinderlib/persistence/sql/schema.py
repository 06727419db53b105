"""The tables: one for each kind of record.

A row has the record's JSON document, and beside it what the database must search, compare or sort
by: the indexed fields, the version, the id and the time of creation. The document is the truth
about all other fields, so a field added to a record needs no migration.

Other programs' tables may be in the same database (Cinder's own, for one): all names begin with
``cinderlib_``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from cinderlib.persistence import host_key
from cinderlib.persistence.base import KEY_LENGTH
from cinderlib.records import (
    KINDS,
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
)

#: What this version of the library writes. Goes up by one with every migration.
VERSION = 2

PREFIX = "cinderlib_"


class Key(sa.String):
    """Text that is compared exactly and sorted by code point: case, accents and trailing spaces
    all count, in every database."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(KEY_LENGTH)


@compiles(Key, "postgresql")
def _key_in_postgresql(type_: Key, compiler: Any, **kwargs: Any) -> str:
    return f'VARCHAR({KEY_LENGTH}) COLLATE "C"'


@compiles(Key, "mysql", "mariadb")
def _key_in_mysql(type_: Key, compiler: Any, **kwargs: Any) -> str:
    collation = "utf8mb4_nopad_bin" if compiler.dialect.is_mariadb else "utf8mb4_0900_bin"
    return f"VARCHAR({KEY_LENGTH}) CHARACTER SET utf8mb4 COLLATE {collation}"


class Document(sa.Text):
    """A whole document; MySQL's own TEXT would end after 64 KiB."""

    cache_ok = True


@compiles(Document, "mysql", "mariadb")
def _document_in_mysql(type_: Document, compiler: Any, **kwargs: Any) -> str:
    return "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


metadata = sa.MetaData()

#: One row: the version of the schema, and the oldest library schema that can still read and write
#: it. A migration that only adds leaves ``min_reader`` as it was.
schema_table = sa.Table(
    f"{PREFIX}schema",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("min_reader", sa.Integer, nullable=False),
)


#: Columns that are made of a record and are no fields of it.
MADE: Mapping[type[Record], Mapping[str, Callable[[Any], str | None]]] = {
    ConnectionRecord: {"host_key": host_key.key}
}

#: The columns of each index. Every listing is in the order of creation, so every index ends with
#: it: a page is then one range of one index, however many records there are. Each index costs every
#: record that comes or goes a page of the disk, so there are none for few records or for two fields
#: of which one says the other: a volume is of one backend. SQLite keeps no statistics, and of two
#: that would do it takes the one that was made last: the one that finds less. With two columns the
#: key of an index is 3068 bytes long in MariaDB, where 3072 are allowed.
INDEXES: Mapping[type[Record], tuple[tuple[str, ...], ...]] = {
    VolumeRecord: ((), ("backend",), ("name",), ("backend", "name")),
    SnapshotRecord: ((), ("backend",), ("name",), ("volume_id",), ("backend", "name")),
    ConnectionRecord: (
        (),
        ("backend",),
        ("volume_id",),
        ("attached_host",),
        ("volume_id", "attached_host"),
        ("volume_id", "host_key"),
    ),
    KeyValueRecord: ((),),
    IntentRecord: (("resource_id",),),
}


def _table(kind: type[Record]) -> sa.Table:
    name = PREFIX + kind.kind
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Key, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        # Microseconds since 1970, in UTC: exact, and the same in every database.
        sa.Column("created_at", sa.BigInteger, nullable=False),
        *[sa.Column(field, Key) for field in (*kind.indexed, *MADE.get(kind, ()))],
        sa.Column("document", Document, nullable=False),
        *[
            sa.Index(f"{name}_by_{'_'.join(fields) or 'age'}", *fields, "created_at", "id")
            for fields in INDEXES[kind]
        ],
    )


TABLES: dict[type[Record], sa.Table] = {kind: _table(kind) for kind in KINDS.values()}
