"""Connections: which library speaks to the database, how many there are, how each is set up."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url

from cinderlib.errors import InvalidPersistence, MissingDependency, StoreError

#: Python packages that speak to a database, best first: SQLAlchemy's name, the module.
_DBAPIS: dict[str, list[tuple[str, str]]] = {
    "postgresql": [("psycopg2", "psycopg2"), ("psycopg", "psycopg"), ("pg8000", "pg8000")],
    "mysql": [("pymysql", "pymysql"), ("mysqldb", "MySQLdb"), ("mysqlconnector", "mysql")],
    "mariadb": [("pymysql", "pymysql"), ("mysqldb", "MySQLdb"), ("mariadbconnector", "mariadb")],
}

#: Those that take a ``connect_timeout``.
_TAKE_TIMEOUT = ("psycopg2", "psycopg", "pymysql", "mysqldb")

#: How many connections a store has at the most.
CONNECTIONS = 32


def parse_url(connection: str | URL) -> URL:
    """The URL with a DBAPI that is installed, and for SQLite with an absolute path, so that a later
    change of the working directory makes no second database.

    :raises InvalidPersistence: it is no URL of a database that is supported.
    :raises MissingDependency: no package that speaks to that database is installed.
    """
    try:
        url = make_url(connection)
    except (sa.exc.ArgumentError, ValueError):
        # What was given may hold a password, and is not repeated.
        raise InvalidPersistence(
            "The persistence 'connection' is not a database URL. Give one like "
            "'sqlite:///file.sqlite' or 'postgresql://user:password@host/database'."
        ) from None
    if url.drivername == "postgres":
        url = url.set(drivername="postgresql")
    name = url.get_backend_name()
    if name != "sqlite" and name not in _DBAPIS:
        raise InvalidPersistence(
            f"Metadata cannot be kept in a {name!r} database, only in sqlite, {', '.join(_DBAPIS)}."
        )
    if "+" not in url.drivername and name in _DBAPIS:
        for driver, module in _DBAPIS[name]:
            if importlib.util.find_spec(module):
                url = url.set(drivername=f"{name}+{driver}")
                break
        else:
            extra = "postgresql" if name == "postgresql" else "mysql"
            raise MissingDependency(
                f"No Python package that speaks to {name} is installed. "
                f"Install one: pip install 'cinderlib[{extra}]'"
            )
    if has_file(url):
        url = url.set(database=os.path.abspath(url.database or ""))
    return url


def in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _is_uri(url: URL) -> bool:
    return "uri" in url.query or (url.database or "").startswith("file:")


def display_name(url: URL) -> str:
    """The URL for people: without the password, and without the query, which can hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def secrets_in(url: URL) -> list[str]:
    """What must never be seen of the URL."""
    values = [url.password] if url.password else []
    for name, value in url.query.items():
        if "pass" in name.lower():
            values += [value] if isinstance(value, str) else value
    return [str(value) for value in values if value]


def create(url: URL, timeout: float) -> sa.Engine:
    """An engine whose connections are in autocommit mode: the store says BEGIN and COMMIT.

    :param timeout: seconds to wait for a connection, and for a lock of another on a row.
    :raises InvalidPersistence: SQLAlchemy knows no such driver, or an option is wrong.
    :raises MissingDependency: the DBAPI that the URL names is not installed.
    """
    options: dict[str, Any] = {
        "isolation_level": "AUTOCOMMIT",
        # All transactions are ended by the store, so a returned connection needs no rollback.
        "pool_reset_on_return": None,
        # What is to be kept open, Connections keeps; the one that looked at the schema goes there.
        "poolclass": sa.pool.QueuePool,
        "pool_size": 1,
        "max_overflow": -1,
    }
    if url.get_backend_name() == "sqlite":
        # Waiting for a lock is the store's business (see Database._patiently).
        options["connect_args"] = {"check_same_thread": False, "timeout": 0}
    elif url.get_driver_name() in _TAKE_TIMEOUT and "connect_timeout" not in url.query:
        options["connect_args"] = {"connect_timeout": max(1, round(timeout))}
    try:
        engine = sa.create_engine(url, **options)
    except ImportError as exc:
        raise MissingDependency(
            f"{display_name(url)} names the Python package {exc.name!r}, which is not installed."
        ) from exc
    except (sa.exc.ArgumentError, TypeError) as exc:
        raise InvalidPersistence(f"{display_name(url)} cannot be used: {exc}") from None
    if engine.dialect.is_async:
        raise InvalidPersistence(
            f"{display_name(url)} names a package for asyncio; give one that is not."
        )
    set_up = {
        # FULL: a transaction that was committed survives a power cut. Secure: what is removed or
        # written over is wiped in the file.
        "sqlite": ("PRAGMA synchronous=FULL", "PRAGMA secure_delete=ON"),
        # How long to wait for a row that a transaction of another has changed.
        # And no plan that reads a whole table: one that was made while it was small is kept.
        "postgresql": (
            f"SET lock_timeout = {round(timeout * 1000)}",
            "SET enable_seqscan = off",
        ),
        "mysql": (f"SET SESSION innodb_lock_wait_timeout = {max(1, round(timeout))}",),
        "mariadb": (f"SET SESSION innodb_lock_wait_timeout = {max(1, round(timeout))}",),
    }
    if statements := set_up.get(engine.dialect.name):
        event.listen(engine, "connect", lambda connection, _: _execute(connection, statements))
    return engine


def _execute(connection: Any, statements: Iterable[str]) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def is_missing(url: URL) -> bool:
    """Whether it is a SQLite database whose file has not been made yet."""
    return has_file(url) and not os.path.exists(url.database or "")


def has_file(url: URL) -> bool:
    """Whether it is a SQLite database in a file of that name."""
    return url.get_backend_name() == "sqlite" and not in_memory(url) and not _is_uri(url)


def create_file(url: URL) -> None:
    """Make the file of a SQLite database, and folders above it that are missing, for its owner
    alone: it will hold secrets. What exists stays as it is.

    :raises StoreError: the file cannot be made.
    """
    if not has_file(url):
        return
    path = pathlib.Path(url.database or "")
    try:
        for folder in reversed(path.parents):
            folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as exc:
        raise StoreError(
            f"{display_name(url)} cannot be made: {exc.strerror}.", retryable=False
        ) from exc
