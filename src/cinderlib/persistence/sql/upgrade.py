"""Bring a database to the schema of this version: any number of processes may do it at once."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import sqlalchemy as sa

from cinderlib.errors import StoreError, StoreNotFound
from cinderlib.persistence.sql.schema import PREFIX, VERSION, schema_table

#: Names the lock that upgrading processes take; any number will do if it stays the same.
_LOCK = 0x63696E646572

MIGRATIONS = pathlib.Path(__file__).with_name("migrations")


def ensure(engine: sa.Engine, name: str, timeout: float, *, create: bool) -> None:
    """Make the tables, or change them, where that is needed.

    Alembic is imported in that case only: it takes longer than everything else at start.

    :param timeout: seconds to wait for a process that does the same.
    :param create: whether tables that are missing are created.
    :raises StoreNotFound: they are missing, and were not to be created.
    :raises StoreError: the database is of a version too new for this one.
    """
    with engine.connect() as connection:
        found = _version(connection, name)
        if (found or 0) >= VERSION:
            return
        if found is None and not create:
            raise StoreNotFound(f"The database {name} has no tables of cinderlib yet.")
        if engine.dialect.name == "sqlite":
            # Readers and a writer do not wait for each other. The file remembers it.
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    with _alone(engine, timeout) as connection:
        if not _is_usable(connection, name):
            _upgrade(connection)


def version(engine: sa.Engine, name: str) -> int | None:
    """Of which version the tables are; ``None`` where there are none yet. Nothing is changed.

    :raises StoreError: of one too new for this version.
    """
    with engine.connect() as connection:
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
            f"The store {name} was written by a newer version of cinderlib: its schema is "
            f"version {row.version}, which needs at least {row.min_reader}, and this is "
            f"{VERSION}. Upgrade cinderlib.",
            retryable=False,
        )
    found: int = row.version
    return found


def _is_usable(connection: sa.Connection, name: str) -> bool:
    """Whether the database is of this version, or of a newer one that suits it."""
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
    """A connection in a transaction that no other upgrading process has at the same time."""
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
            # The lock's name is the server's, not the database's.
            lock = sa.func.concat(f"{PREFIX}upgrade/", sa.func.md5(sa.func.database()))
            if connection.scalar(sa.select(sa.func.get_lock(lock, timeout))) != 1:
                raise StoreError("Another process is upgrading the database and does not end.")
            try:
                yield connection
                connection.commit()
            finally:
                connection.scalar(sa.select(sa.func.release_lock(lock)))
