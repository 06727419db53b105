"""Adds a key to find connections of a host within a volume, and drops unnecessary indexes.

The previous version of the library still works: it writes connections without a key, and every
search compares these.
"""

import msgspec
import sqlalchemy as sa
from alembic import op

from cinderlib.persistence import host_key
from cinderlib.persistence.sql.schema import Document, Key
from cinderlib.records import ConnectionRecord, decode

revision = "0002"
down_revision = "0001"

TABLE = "cinderlib_connection"
NEW = f"{TABLE}_by_volume_id_host_key"
NEEDLESS = {
    "snapshot": ("backend_volume_id", "name_volume_id"),
    "connection": ("backend_volume_id", "backend_attached_host"),
    "intent": ("age", "backend", "backend_resource_id"),
}
#: Number of rows to write in one statement.
TOGETHER = 1000


def upgrade() -> None:
    inspector = sa.inspect(op.get_bind())
    if "host_key" not in {column["name"] for column in inspector.get_columns(TABLE)}:
        op.add_column(TABLE, sa.Column("host_key", Key()))
    _fill(op.get_bind())
    if NEW not in _indexes(TABLE):
        op.create_index(NEW, TABLE, ["volume_id", "host_key", "created_at", "id"])
    for kind, endings in NEEDLESS.items():
        table = f"cinderlib_{kind}"
        for name in _indexes(table) & {f"{table}_by_{ending}" for ending in endings}:
            op.drop_index(name, table)
    op.execute("UPDATE cinderlib_schema SET version = 2")


def _indexes(table: str) -> set[str]:
    indexes = sa.inspect(op.get_bind()).get_indexes(table)
    return {index["name"] for index in indexes if index["name"] is not None}


def _fill(connection: sa.Connection) -> None:
    # This is the library's current function. A change of it needs another migration like this one.
    table = sa.table(
        TABLE, sa.column("id", Key), sa.column("document", Document), sa.column("host_key", Key)
    )
    change = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("id_"))
        .values(host_key=sa.bindparam("key"))
    )
    document: sa.ColumnElement[str | bytes] = table.c.document
    if connection.dialect.name == "sqlite":
        # Read as text, a damaged row would fail the whole query.
        document = sa.cast(document, sa.LargeBinary)
    last = ""
    while True:
        page = sa.select(table.c.id, document).where(table.c.id > last)
        rows = connection.execute(page.order_by(table.c.id).limit(TOGETHER)).all()
        if not rows:
            return
        last = rows[-1].id
        connection.execute(change, [{"id_": id, "key": _key(text)} for id, text in rows])


def _key(document: str | bytes) -> str | None:
    try:
        return host_key.key(decode(ConnectionRecord, document))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None  # The record is damaged; connecting its volume reports that.
