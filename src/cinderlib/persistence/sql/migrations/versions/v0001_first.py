"""The first tables.

It must be possible to repeat an interrupted migration: MariaDB and MySQL cannot roll back CREATE
TABLE. The tables are described here as they were in this version, independent of ``schema.py``.
"""

import itertools
from typing import Any

import sqlalchemy as sa
from alembic import op

from cinderlib.persistence.sql.schema import Document, Key

revision = "0001"
down_revision = None

OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "row_format": "DYNAMIC"}

INDEXED = {
    "volume": ("backend", "name"),
    "snapshot": ("backend", "name", "volume_id"),
    "connection": ("backend", "volume_id", "attached_host"),
    "key_value": (),
    "intent": ("backend", "resource_id"),
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    options: dict[str, Any] = {}
    if dialect in ("mysql", "mariadb"):
        options = {f"{dialect}_{name}": value for name, value in OPTIONS.items()}
    inspector = sa.inspect(op.get_bind())
    existing = set(inspector.get_table_names())
    for kind, fields in INDEXED.items():
        table = f"cinderlib_{kind}"
        if table not in existing:
            op.create_table(
                table,
                sa.Column("id", Key(), primary_key=True),
                sa.Column("version", sa.BigInteger, nullable=False),
                sa.Column("created_at", sa.BigInteger, nullable=False),
                *[sa.Column(field, Key()) for field in fields],
                sa.Column("document", Document(), nullable=False),
                **options,
            )
            indexes: set[str | None] = set()
        else:
            indexes = {index["name"] for index in inspector.get_indexes(table)}
        for size in range(3):
            for chosen in itertools.combinations(fields, size):
                name = f"{table}_by_{'_'.join(chosen) or 'age'}"
                if name not in indexes:
                    op.create_index(name, table, [*chosen, "created_at", "id"])
    if "cinderlib_schema" not in existing:
        op.create_table(
            "cinderlib_schema",
            sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
            sa.Column("version", sa.Integer, nullable=False),
            sa.Column("min_reader", sa.Integer, nullable=False),
            **options,
        )
    schema = sa.table("cinderlib_schema", *map(sa.column, ("id", "version", "min_reader")))
    op.execute(schema.delete())
    op.execute(schema.insert().values(id=1, version=1, min_reader=1))
