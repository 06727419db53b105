"""The place of a database: its URL, and the file of a SQLite database."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import urllib.parse
from collections.abc import Mapping

from cinderlib import urls
from cinderlib.errors import InvalidPersistence, StoreError, StoreNotFound
from cinderlib.locking import filesystems

#: Parameters in the query of a URL whose values must be hidden.
_SECRET = re.compile("pass|secret|token|key", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Address:
    """A database.

    :ivar url: of SQLAlchemy, **with the password**. For SQLite, the path is absolute and without
        symbolic links, so that another working directory or a changed link does not create a second
        database.
    :ivar name: SQLAlchemy's name of the kind of database.
    :ivar driver: SQLAlchemy's name of the package that connects to it.
    :ivar database: its name, or the name of the file of a SQLite database.
    :ivar sqlite: the parts of the URL of a SQLite database.
    """

    url: str = dataclasses.field(repr=False)
    name: str
    driver: str
    database: str | None
    query: Mapping[str, str | tuple[str, ...]] = dataclasses.field(repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)
    sqlite: urls.SQLite | None = dataclasses.field(default=None, repr=False)

    @property
    def is_sqlite(self) -> bool:
        return self.sqlite is not None

    @property
    def in_memory(self) -> bool:
        """Whether it is a SQLite database that no other process can see."""
        return self.is_sqlite and self.path is None

    @property
    def path(self) -> str | None:
        """The path of the file of a SQLite database.

        ``None`` for a database in memory, and for other databases.
        """
        return None if self.sqlite is None else self.sqlite.path

    @property
    def display_name(self) -> str:
        """The URL for messages: without the password and the values in the query."""
        return urls.hide(self.url)

    @property
    def secrets(self) -> list[str]:
        """The secret parts of the URL."""
        values = [self.password] if self.password else []
        for name, value in self.query.items():
            if _SECRET.search(name):
                values += [value] if isinstance(value, str) else value
        return [value for value in values if value]


def of_sqlite(connection: str) -> Address | None:
    """The SQLite database of a URL.

    :returns: ``None`` if it is not the URL of a SQLite database.
    :raises InvalidPersistence: the URI refers to another host.
    """
    found = urls.of_sqlite(connection)
    if found is None:
        return None
    path = found.path
    if path is not None:
        path = os.path.realpath(path)
        if found.is_uri:
            _, mark, rest = (found.database or "").partition("?")
            path = f"file:{urllib.parse.quote(path)}{mark}{rest}"
        found = dataclasses.replace(found, database=path)
    text = f"{found.scheme}://"
    if found.database is not None:
        text += f"/{urllib.parse.quote(found.database, safe=' +/')}"
    if found.query:
        text += f"?{urllib.parse.urlencode(sorted(found.query.items()))}"
    return Address(text, "sqlite", "pysqlite", found.database, found.query, sqlite=found)


def is_missing(address: Address) -> bool:
    """Whether it is a SQLite database whose file does not exist yet."""
    return address.path is not None and not os.path.exists(address.path)


def refuse_second_name(address: Address) -> None:
    """Refuse a database file that has a second path. SQLite keeps a log next to a database, named
    after the path by which it was opened. Programs that use two paths to one file do not see each
    other's log and damage the database.

    :raises InvalidPersistence: the file has another name, or may have one in another namespace.
    """
    path = address.path
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


def ensure_file(address: Address, *, create: bool) -> None:
    """Create the file of a SQLite database, readable only by its owner because of the secrets. An
    existing file is not changed, and no folder is created, because its name may be misspelt.

    :param create: create a missing file.
    :raises StoreNotFound: it is missing, and ``create`` is false.
    :raises InvalidPersistence: its folder does not exist.
    :raises StoreError: the file cannot be created.
    """
    if (name := address.path) is None or _refuses_to_create(address):
        return
    path = pathlib.Path(name)
    try:
        if not path.parent.is_dir():
            raise InvalidPersistence(
                f"{address.display_name} cannot be opened: the folder {path.parent} does not exist."
                " Create it, or correct the URL."
            )
        if not create:
            if not path.exists():
                raise StoreNotFound(f"The database {address.display_name} does not exist yet.")
            return
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as exc:
        raise StoreError(
            f"{address.display_name} cannot be created: {exc.strerror}.", retryable=False
        ) from exc


def _refuses_to_create(address: Address) -> bool:
    """Whether a URI requires an existing file (``mode=ro``, ``mode=rw``)."""
    found = address.sqlite
    return found is not None and found.is_uri and found.query.get("mode") in ("ro", "rw")
