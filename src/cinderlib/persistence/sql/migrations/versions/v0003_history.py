"""Adds the table of ended operations.

The previous version of the library still works: it writes no history.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from cinderlib.persistence.sql.schema import Document, Key

revision = "0003"
down_revision = "0002"

OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "row_format": "DYNAMIC"}

TABLE = "cinderlib_operation"
#: The only index: each costs a written page for each operation, and the history is limited.
INDEX = "cinderlib_operation_by_age"


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    options: dict[str, Any] = {"sqlite_with_rowid": False}
    if dialect in ("mysql", "mariadb"):
        options = {f"{dialect}_{name}": value for name, value in OPTIONS.items()}
    inspector = sa.inspect(op.get_bind())
    indexes: set[str | None] = set()
    if TABLE in inspector.get_table_names():
        indexes = {index["name"] for index in inspector.get_indexes(TABLE)}
    else:
        op.create_table(
            TABLE,
            sa.Column("id", Key(), primary_key=True),
            sa.Column("version", sa.BigInteger, nullable=False),
            sa.Column("created_at", sa.BigInteger, nullable=False),
            sa.Column("document", Document(), nullable=False),
            **options,
        )
    if INDEX not in indexes:
        op.create_index(INDEX, TABLE, ["created_at", "id"])
    op.execute("UPDATE cinderlib_schema SET version = 3")
