"""The tables: one for each kind of record.

A row has the record's JSON document and separate columns for the values that the database must
search, compare or sort: the indexed fields, the version, the ID and the time of creation. All other
fields are only in the document, so a new field needs no migration.

The same database can contain tables of other programs, for example Cinder's: all names begin with
``cinderlib_``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from cinderlib.persistence.base import KEY_LENGTH
from cinderlib.persistence.sql import columns
from cinderlib.persistence.sql.columns import SCHEMA_TABLE
from cinderlib.records import (
    KINDS,
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    OperationRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
)


class Key(sa.String):
    """Text that is compared exactly and sorted by code point: case, accents and trailing spaces are
    significant in every database."""

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
    """A complete document; MySQL's TEXT is limited to 64 KiB."""

    cache_ok = True


@compiles(Document, "mysql", "mariadb")
def _document_in_mysql(type_: Document, compiler: Any, **kwargs: Any) -> str:
    return "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


metadata = sa.MetaData()

schema_table = sa.Table(
    SCHEMA_TABLE,
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("min_reader", sa.Integer, nullable=False),
)

#: The columns of each index. Every listing is in the order of creation, so every index ends with
#: the time of creation and the ID: a page of a listing is one range of one index, independent of
#: the number of records. Each index costs one written disk page for each created or removed record.
#: Therefore there are none for small tables, and none for two fields if one determines the other: a
#: volume has one backend. SQLite has no statistics: of two usable indexes it takes the newer one,
#: so the more selective index must be created last. With two columns, the key of an index is
#: 3068 bytes long in MariaDB; the limit is 3072.
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
    OperationRecord: ((),),
}


#: Tables that SQLite keeps in the order of the ID: one written page less for each new row. Only for
#: IDs in the order of creation, because a page of random IDs has few new rows.
IN_ORDER = frozenset({OperationRecord})


def _table(kind: type[Record]) -> sa.Table:
    name = columns.table(kind)
    return sa.Table(
        name,
        metadata,
        sa.Column("id", Key, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        # Microseconds since 1970, in UTC: exact, and equal in every database.
        sa.Column("created_at", sa.BigInteger, nullable=False),
        *[sa.Column(field, Key) for field in columns.keys(kind)],
        sa.Column("document", Document, nullable=False),
        *[
            sa.Index(f"{name}_by_{'_'.join(fields) or 'age'}", *fields, "created_at", "id")
            for fields in INDEXES[kind]
        ],
        sqlite_with_rowid=kind not in IN_ORDER,
    )


TABLES: dict[type[Record], sa.Table] = {kind: _table(kind) for kind in KINDS.values()}
