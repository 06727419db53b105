"""Upgrades a database to the schema of this version, safe for several processes at once.

:mod:`.database` imports this only if the schema may not be current, because SQLAlchemy's import
takes longer than the rest of the start. Alembic is imported only for an upgrade.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import sqlalchemy as sa

from cinderlib.errors import StoreError, StoreNotFound
from cinderlib.persistence.sql.columns import PREFIX, VERSION
from cinderlib.persistence.sql.engine import original_errors
from cinderlib.persistence.sql.schema import schema_table

#: Number of the lock for upgrades. It must never change.
_LOCK = 0x63696E646572

MIGRATIONS = pathlib.Path(__file__).with_name("migrations")


def ensure(engine: sa.Engine, name: str, timeout: float, *, create: bool) -> None:
    """Create or upgrade the tables, if necessary.

    :param timeout: seconds to wait for another upgrading process.
    :param create: create missing tables.
    :raises StoreNotFound: tables are missing, and ``create`` is false.
    :raises StoreError: the version of the database is too new for this version.
    """
    with original_errors(), engine.connect() as connection:
        found = _version(connection, name)
        if (found or 0) >= VERSION:
            return
        if found is None and not create:
            raise StoreNotFound(f"The database {name} has no tables of cinderlib yet.")
        if engine.dialect.name == "sqlite":
            # With WAL, readers and a writer do not block each other. The mode is kept in the file.
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    with original_errors(), _alone(engine, timeout) as connection:
        if not _is_usable(connection, name):
            _upgrade(connection)


def version(engine: sa.Engine, name: str) -> int | None:
    """The version of the tables; ``None`` if there are no tables. This only reads the database.

    :raises StoreError: the version is too new for this version.
    """
    with original_errors(), engine.connect() as connection:
        return _version(connection, name)


def _version(connection: sa.Connection, name: str) -> int | None:
    if not sa.inspect(connection).has_table(schema_table.name):
        return None
    columns = schema_table.c
    row = connection.execute(sa.select(columns.version, columns.min_reader)).first()
    if row is None:
        return None
    if row.version > VERSION and row.min_reader > VERSION:
        raise StoreError(
            f"The store {name} was written by a newer version of cinderlib: its schema has version "
            f"{row.version}, which needs at least {row.min_reader}, and this cinderlib has "
            f"{VERSION}. Upgrade cinderlib.",
            retryable=False,
        )
    found: int = row.version
    return found


def _is_usable(connection: sa.Connection, name: str) -> bool:
    """Whether the database has this version, or a newer one that this version can use."""
    return (_version(connection, name) or 0) >= VERSION


def _upgrade(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextlib.contextmanager
def _alone(engine: sa.Engine, timeout: float) -> Iterator[sa.Connection]:
    """A connection in a transaction, for one upgrading process at a time."""
    dialect = engine.dialect.name
    with engine.connect() as connection:
        if dialect == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()
            return
        connection.execution_options(isolation_level="READ COMMITTED")
        if dialect == "postgresql":
            connection.execute(
                sa.select(sa.func.set_config("lock_timeout", f"{int(timeout * 1000)}ms", True))
            )
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield connection
            connection.commit()
        else:
            # The lock's name is global for the server, so it contains the database's name.
            lock = sa.func.concat(f"{PREFIX}upgrade/", sa.func.md5(sa.func.database()))
            if connection.scalar(sa.select(sa.func.get_lock(lock, timeout))) != 1:
                raise StoreError("Another process is upgrading the database and did not finish.")
            try:
                yield connection
                connection.commit()
            finally:
                connection.scalar(sa.select(sa.func.release_lock(lock)))
