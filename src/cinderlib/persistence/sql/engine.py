"""Database connections: the DBAPI package, the number of connections, and their settings."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url

from cinderlib import urls
from cinderlib.errors import InvalidPersistence, MissingDependency, StoreError, StoreNotFound
from cinderlib.locking import filesystems

#: Python packages for each database, best first: SQLAlchemy's name, the module.
_DBAPIS: dict[str, list[tuple[str, str]]] = {
    "postgresql": [("psycopg2", "psycopg2"), ("psycopg", "psycopg"), ("pg8000", "pg8000")],
    "mysql": [("pymysql", "pymysql"), ("mysqldb", "MySQLdb"), ("mysqlconnector", "mysql")],
    "mariadb": [("pymysql", "pymysql"), ("mysqldb", "MySQLdb"), ("mariadbconnector", "mariadb")],
}

#: Packages that have a ``connect_timeout``.
_TAKE_TIMEOUT = ("psycopg2", "psycopg", "pymysql", "mysqldb")

#: Parameters in the query of a URL whose values must be hidden.
_SECRET = re.compile("pass|secret|token|key", re.IGNORECASE)

#: Maximum number of connections of a store.
CONNECTIONS = 32


def parse_url(connection: str | URL) -> URL:
    """The URL with an installed DBAPI. For SQLite, the path is absolute and without symbolic links,
    so that another working directory or a changed link does not create a second database.

    :raises InvalidPersistence: it is not the URL of a supported database.
    :raises MissingDependency: no package for that database is installed.
    """
    try:
        url = make_url(connection)
    except (sa.exc.ArgumentError, ValueError):
        # The message does not repeat the value, because it may contain a password.
        raise InvalidPersistence(
            "The persistence 'connection' is not a database URL. Specify a URL such as "
            "'sqlite:///file.sqlite' or 'postgresql://user:password@host/database'."
        ) from None
    if url.drivername == "postgres":
        url = url.set(drivername="postgresql")
    name = url.get_backend_name()
    if name != "sqlite" and name not in _DBAPIS:
        raise InvalidPersistence(
            f"Metadata cannot be kept in a {name!r} database. Supported: sqlite, "
            f"{', '.join(_DBAPIS)}."
        )
    if "+" not in url.drivername and name in _DBAPIS:
        for driver, module in _DBAPIS[name]:
            if importlib.util.find_spec(module):
                url = url.set(drivername=f"{name}+{driver}")
                break
        else:
            extra = "postgresql" if name == "postgresql" else "mysql"
            raise MissingDependency(
                f"No Python package for {name} databases is installed. "
                f"Install one: pip install 'cinderlib[{extra}]'"
            )
    path = file_of(url)
    if path is None:
        return url
    path = os.path.realpath(path)
    if not _is_uri(url):
        return url.set(database=path)
    _, mark, query = (url.database or "").partition("?")
    return url.set(database=f"file:{urllib.parse.quote(path)}{mark}{query}")


def in_memory(url: URL) -> bool:
    """Whether it is a SQLite database that no other process can see."""
    return url.get_backend_name() == "sqlite" and file_of(url) is None


def file_of(url: URL) -> str | None:
    """The path of the file of a SQLite database.

    :returns: ``None`` for a database in memory, and for other databases.
    :raises InvalidPersistence: the URI refers to another host.
    """
    if url.get_backend_name() != "sqlite":
        return None
    name = url.database or ""
    if _is_uri(url):
        parts = urllib.parse.urlsplit(name)
        if parts.netloc not in ("", "localhost"):
            raise InvalidPersistence(
                f"The SQLite URI contains the host {parts.netloc!r}; use file:///path/to/file"
            )
        modes = [value for key, value in urllib.parse.parse_qsl(parts.query) if key == "mode"]
        if "memory" in [*modes, url.query.get("mode")] or url.query.get("vfs") == "memdb":
            return None
        name = urllib.parse.unquote(parts.path)
    return name if name not in ("", ":memory:") else None


def _is_uri(url: URL) -> bool:
    """Whether SQLite opens a URI (``file:...?uri=true``) and not a file name."""
    is_uri = str(url.query.get("uri", "")).lower() in ("true", "1", "yes", "on", "t", "y")
    return is_uri and (url.database or "").startswith("file:")


def display_name(url: URL) -> str:
    """The URL for messages: without the password and the values in the query."""
    return urls.hide(url.render_as_string(hide_password=True))


def secrets_in(url: URL) -> list[str]:
    """The secret parts of the URL."""
    values = [url.password] if url.password else []
    for name, value in url.query.items():
        if _SECRET.search(name):
            values += [value] if isinstance(value, str) else value
    return [str(value) for value in values if value]


def create(url: URL, timeout: float) -> sa.Engine:
    """An engine whose connections are in autocommit mode: the store sends BEGIN and COMMIT itself.

    :param timeout: seconds to wait for a connection, and for a row lock of another transaction.
    :raises InvalidPersistence: SQLAlchemy has no such driver, or an option is not valid.
    :raises MissingDependency: the DBAPI in the URL is not installed.
    """
    options: dict[str, Any] = {
        "isolation_level": "AUTOCOMMIT",
        # The store ends all transactions, so a returned connection needs no rollback.
        "pool_reset_on_return": None,
        # The class Connections keeps connections open, including the first one that checks the
        # schema.
        "poolclass": sa.pool.QueuePool,
        "pool_size": 1,
        "max_overflow": -1,
    }
    if url.get_backend_name() == "sqlite":
        # The store waits for locks itself (see Database._patiently).
        options["connect_args"] = {"check_same_thread": False, "timeout": 0}
    elif url.get_driver_name() in _TAKE_TIMEOUT and "connect_timeout" not in url.query:
        options["connect_args"] = {"connect_timeout": max(1, round(timeout))}
    try:
        engine = sa.create_engine(url, **options)
    except ImportError as exc:
        raise MissingDependency(
            f"{display_name(url)} requires the Python package {exc.name!r}, which is not installed."
        ) from exc
    except (sa.exc.ArgumentError, TypeError) as exc:
        raise InvalidPersistence(f"{display_name(url)} cannot be used: {exc}") from None
    if engine.dialect.is_async:
        raise InvalidPersistence(
            f"{display_name(url)} specifies a package for asyncio; use a synchronous one."
        )
    set_up = {
        # FULL: a committed transaction survives a power failure. Secure: deleted and overwritten
        # data is wiped in the file.
        "sqlite": ("PRAGMA synchronous=FULL", "PRAGMA secure_delete=ON"),
        # How long to wait for a row that another transaction has changed. And no sequential scans:
        # a prepared plan from the time when the table was small stays in use.
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
    """Whether it is a SQLite database whose file does not exist yet."""
    path = file_of(url)
    return path is not None and not os.path.exists(path)


def refuse_second_name(url: URL) -> None:
    """Refuse a database file that has a second path. SQLite keeps a log next to a database, named
    after the path by which it was opened. Programs that use two paths to one file do not see each
    other's log and damage the database.

    :raises InvalidPersistence: the file has another name, or may have one in another namespace.
    """
    path = file_of(url)
    if path is None or not os.path.isfile(path):
        return
    if os.stat(path).st_nlink > 1:
        raise InvalidPersistence(
            f"{path} has several names (hard links). SQLite would damage it if programs opened it "
            "by different names. Remove the other names, or copy the file instead of linking it."
        )
    if filesystems.is_mount_point(path):
        raise InvalidPersistence(
            f"{path} is mounted as a single file. SQLite would damage it, because the log next to "
            "it is not visible on both sides of the mount. Mount the folder instead."
        )


def ensure_file(url: URL, *, create: bool) -> None:
    """Create the file of a SQLite database, readable only by its owner because of the secrets. An
    existing file is not changed, and no folder is created, because its name may be misspelt.

    :param create: create a missing file.
    :raises StoreNotFound: it is missing, and ``create`` is false.
    :raises InvalidPersistence: its folder does not exist.
    :raises StoreError: the file cannot be created.
    """
    if (name := file_of(url)) is None or _refuses_to_create(url):
        return
    path = pathlib.Path(name)
    try:
        if not path.parent.is_dir():
            raise InvalidPersistence(
                f"{display_name(url)} cannot be opened: the folder {path.parent} does not exist."
                " Create it, or correct the URL."
            )
        if not create:
            if not path.exists():
                raise StoreNotFound(f"The database {display_name(url)} does not exist yet.")
            return
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as exc:
        raise StoreError(
            f"{display_name(url)} cannot be created: {exc.strerror}.", retryable=False
        ) from exc


def _refuses_to_create(url: URL) -> bool:
    """Whether a URI requires an existing file (``mode=ro``, ``mode=rw``)."""
    return _is_uri(url) and url.query.get("mode") in ("ro", "rw")
