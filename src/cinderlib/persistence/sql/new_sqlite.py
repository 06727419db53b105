"""Creates the tables of a new SQLite database.

Alembic and SQLAlchemy would take half a second to create them, which is more than most commands
take. The file has the statements of all migrations together, and a test compares the results.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cinderlib.persistence.sql.columns import PREFIX

_STATEMENTS = Path(__file__).with_name("sqlite_tables.sql")
_FIND = "SELECT 1 FROM sqlite_master WHERE name GLOB ? LIMIT 1"


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables, unless the database has tables of the library.

    :param connection: in autocommit mode.
    :raises sqlite3.Error: the database cannot be written. The caller ends the transaction.
    """
    if _has_tables(connection):
        return
    # With WAL, readers and a writer do not block each other. The mode is kept in the file.
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN IMMEDIATE")
    if not _has_tables(connection):  # another process can have created them
        for statement in _STATEMENTS.read_text().split(";\n"):
            connection.execute(statement)
    connection.execute("COMMIT")


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute(_FIND, (f"{PREFIX}*",)).fetchone() is not None
