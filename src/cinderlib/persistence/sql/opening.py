"""Databases by their URLs.

SQLAlchemy is imported only for servers, because its import takes longer than most commands.
"""

from __future__ import annotations

from cinderlib.persistence.sql.address import Address, of_sqlite
from cinderlib.persistence.sql.connections import Opener
from cinderlib.persistence.sql.sqlite import SQLite


def parse(connection: str) -> Address:
    """The database of a URL.

    :raises InvalidPersistence: it is not the URL of a supported database.
    :raises MissingDependency: no package for that database is installed.
    """
    address = of_sqlite(connection)
    if address is not None:
        return address
    from cinderlib.persistence.sql import engine

    return engine.parse(connection)


def opener(address: Address, timeout: float) -> Opener:
    """What opens connections to a database.

    :param timeout: seconds to wait for a connection.
    :raises InvalidPersistence: an option of the URL is not valid.
    :raises MissingDependency: the DBAPI in the URL is not installed.
    """
    if address.is_sqlite:
        return SQLite(address)
    from cinderlib.persistence.sql.engine import Server

    return Server(address, timeout)
