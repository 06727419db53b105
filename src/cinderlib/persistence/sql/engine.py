"""Connections to database servers: the DBAPI package, the number of connections, and their
settings. SQLAlchemy opens them."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url

from cinderlib import urls
from cinderlib.errors import InvalidPersistence, MissingDependency
from cinderlib.persistence.sql.address import Address
from cinderlib.persistence.sql.failures import NotOfDatabase
from cinderlib.persistence.sql.sqlite import SQLite


class _Package(NamedTuple):
    """A package that connects to a kind of database.

    :ivar driver: SQLAlchemy's name.
    :ivar module: its module.
    :ivar name: what pip installs.
    """

    driver: str
    module: str
    name: str


_PYMYSQL = _Package("pymysql", "pymysql", "PyMySQL")
_MYSQLCLIENT = _Package("mysqldb", "MySQLdb", "mysqlclient")

#: The packages for each database, best first.
_PACKAGES: dict[str, list[_Package]] = {
    "postgresql": [
        _Package("psycopg2", "psycopg2", "psycopg2-binary"),
        _Package("psycopg", "psycopg", "psycopg"),
        _Package("pg8000", "pg8000", "pg8000"),
    ],
    "mysql": [
        _PYMYSQL,
        _MYSQLCLIENT,
        _Package("mysqlconnector", "mysql", "mysql-connector-python"),
    ],
    "mariadb": [
        _PYMYSQL,
        _MYSQLCLIENT,
        _Package("mariadbconnector", "mariadb", "mariadb"),
    ],
}

#: The parameter with the seconds to wait for a connection. pg8000 has none: its ``timeout`` also
#: ends long waits for locks.
_TIMEOUT = {
    "psycopg2": "connect_timeout",
    "psycopg": "connect_timeout",
    "pymysql": "connect_timeout",
    "mysqldb": "connect_timeout",
    "mysqlconnector": "connection_timeout",
    "mariadbconnector": "connect_timeout",
}

#: What mysql-connector-python reports about a lost connection. SQLAlchemy knows only the text of
#: earlier versions.
_LOST = "MySQL Connection not available"


def parse(connection: str) -> Address:
    """The database of a URL, with an installed DBAPI.

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
    if name == "sqlite":
        raise InvalidPersistence(
            "This URL of a SQLite database cannot be used. It has the form"
            " 'sqlite:////path/to/file.sqlite', without a host or another package."
        )
    if name not in _PACKAGES:
        raise InvalidPersistence(
            f"Metadata cannot be kept in a {name!r} database. Supported: sqlite, "
            f"{', '.join(_PACKAGES)}."
        )
    packages = _PACKAGES[name]
    driver = url.drivername.partition("+")[2]
    if not driver:
        for package in packages:
            if importlib.util.find_spec(package.module):
                driver = package.driver
                url = url.set(drivername=f"{name}+{driver}")
                break
        else:
            extra = "postgresql" if name == "postgresql" else "mysql"
            raise MissingDependency(
                f"No Python package for {name} databases is installed. "
                f"Install one: pip install 'cinderlib[{extra}]'"
            )
    elif driver not in {package.driver for package in packages}:
        schemes = [f"{name}+{package.driver}:// ({package.name})" for package in packages]
        raise InvalidPersistence(
            f"{urls.hide(connection)} cannot be used: metadata cannot be kept with the package "
            f"{driver!r}. Use {name}://, or choose a package: {', '.join(schemes)}."
        )
    text = url.render_as_string(hide_password=False)
    password = None if url.password is None else str(url.password)
    return Address(text, name, driver, url.database, url.query, password)


def create(address: Address, timeout: float) -> sa.Engine:
    """An engine whose connections are in autocommit mode: the store sends BEGIN and COMMIT itself.

    :param timeout: seconds to wait for a connection, and for a row lock of another transaction.
    :raises InvalidPersistence: SQLAlchemy has no such driver, or an option is not valid.
    :raises MissingDependency: the DBAPI in the URL is not installed.
    """
    if address.is_sqlite:
        return sa.create_engine(
            "sqlite://",
            creator=SQLite(address).open,
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
        )
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
    parameter = _TIMEOUT.get(address.driver)
    if parameter is not None and parameter not in address.query:
        options["connect_args"] = {parameter: max(1, round(timeout))}
    try:
        engine = sa.create_engine(address.url, **options)
    except ImportError as exc:
        raise MissingDependency(
            f"{address.display_name} requires the Python module {exc.name!r}, which is not "
            f"installed: pip install {_package(address).name}"
        ) from exc
    except (sa.exc.ArgumentError, TypeError) as exc:
        raise InvalidPersistence(f"{address.display_name} cannot be used: {exc}") from None
    lock_timeout = f"SET SESSION innodb_lock_wait_timeout = {max(1, round(timeout))}"
    set_up = {
        # How long to wait for a row that another transaction has changed. And no sequential scans:
        # a prepared plan from the time when the table was small stays in use.
        "postgresql": (
            f"SET lock_timeout = {round(timeout * 1000)}",
            "SET enable_seqscan = off",
        ),
        "mysql": (lock_timeout,),
        "mariadb": (lock_timeout,),
    }
    if statements := set_up.get(engine.dialect.name):
        event.listen(engine, "connect", lambda connection, _: _execute(connection, statements))
    return engine


def _package(address: Address) -> _Package:
    return next(each for each in _PACKAGES[address.name] if each.driver == address.driver)


def _execute(connection: Any, statements: Iterable[str]) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


class Server:
    """Opens connections to a database server.

    :ivar dbapi: the module (PEP 249).
    :param timeout: as of :func:`create`.
    :raises InvalidPersistence, MissingDependency: as :func:`create`.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._engine = create(address, timeout)
        self.dbapi: Any = self._engine.dialect.dbapi

    def open(self) -> Any:
        """A new connection.

        :raises Exception: the server cannot be reached: the DBAPI's exception.
        """
        with original_errors():
            connection = self._engine.raw_connection()
        dbapi = connection.dbapi_connection
        connection.detach()
        return dbapi

    def engine(self, connection: Any) -> sa.Engine:
        """SQLAlchemy's engine, for changes of the schema."""
        return self._engine

    def is_disconnect(self, error: Exception, connection: Any) -> bool:
        """Whether the connection is lost."""
        if _LOST in str(error):
            return True
        return self._engine.dialect.is_disconnect(error, connection, None)  # type: ignore[arg-type]

    def dispose(self) -> None:
        """Close the connections that are not in use."""
        self._engine.dispose()

    def after_fork(self) -> Any:
        """In a child process: do not use the parent's connections.

        :returns: keep it, so that they are not closed.
        """
        pool = self._engine.pool
        self._engine.dispose(close=False)
        return pool


@contextlib.contextmanager
def original_errors() -> Iterator[None]:
    """Raise the DBAPI's errors instead of SQLAlchemy's.

    :raises NotOfDatabase: an error of SQLAlchemy itself.
    """
    try:
        yield
    except sa.exc.DBAPIError as exc:
        raise (exc.orig or exc) from None
    except sa.exc.SQLAlchemyError as exc:
        raise NotOfDatabase(exc) from None
