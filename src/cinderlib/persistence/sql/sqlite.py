"""Connections to SQLite, without SQLAlchemy, whose import takes longer than most commands."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from cinderlib.errors import InvalidPersistence
from cinderlib.persistence.sql.address import Address

if TYPE_CHECKING:
    import sqlalchemy as sa

#: Parameters of a URL that are for Python's module, not for SQLite. The store sets them itself.
_OF_PYTHON = frozenset(
    {
        "cached_statements",
        "check_same_thread",
        "detect_types",
        "isolation_level",
        "timeout",
        "uri",
    }
)

_SET_UP = (
    # A committed transaction survives a power failure.
    "PRAGMA synchronous=FULL",
    # Deleted and overwritten data is wiped in the file.
    "PRAGMA secure_delete=ON",
)

#: Settings of a connection that writes large transactions. It keeps the pages that a transaction
#: changes in memory, up to 16 MiB, instead of reading them again from its log. And it copies pages
#: from the log to the database four times less often.
FOR_MANY = ("PRAGMA cache_size=-16384", "PRAGMA wal_autocheckpoint=4000")


class SQLite:
    """Opens connections to a SQLite database, in autocommit mode: the store sends BEGIN and COMMIT
    itself.

    :ivar dbapi: Python's module.
    :raises InvalidPersistence: the URL has parameters that only a URI has.
    """

    dbapi: Any = sqlite3

    def __init__(self, address: Address) -> None:
        is_uri = address.sqlite is not None and address.sqlite.is_uri
        file = address.database or ":memory:"
        for_sqlite = {k: v for k, v in address.query.items() if k not in _OF_PYTHON}
        if for_sqlite and not is_uri:
            raise InvalidPersistence(
                f"{address.display_name} cannot be used: {', '.join(sorted(for_sqlite))} can be"
                " specified only in a URI (sqlite:///file:PATH?uri=true)."
            )
        if for_sqlite:
            file += "?" + "&".join(f"{name}={for_sqlite[name]}" for name in sorted(for_sqlite))
        self._file = file
        self._is_uri = is_uri

    def open(self) -> sqlite3.Connection:
        """A new connection.

        :raises sqlite3.Error: the database cannot be opened.
        """
        connection = sqlite3.connect(
            self._file,
            # The store waits for locks itself (see Database._patiently).
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            uri=self._is_uri,
        )
        for statement in _SET_UP:
            connection.execute(statement)
        return connection

    def engine(self, connection: Any) -> sa.Engine:
        """SQLAlchemy's engine with one connection of this class, for changes of the schema."""
        import sqlalchemy

        return sqlalchemy.create_engine(
            "sqlite://",
            creator=lambda: connection,
            poolclass=sqlalchemy.StaticPool,
            isolation_level="AUTOCOMMIT",
            # The store ends all transactions.
            pool_reset_on_return=None,
        )

    def is_disconnect(self, error: Exception, connection: Any) -> bool:
        """Whether the connection is lost: only if it was closed here."""
        return isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error)

    def dispose(self) -> None:
        """No connections are kept here."""

    def after_fork(self) -> None:
        """No connections are kept here."""
