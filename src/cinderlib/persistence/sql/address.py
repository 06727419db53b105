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

_SQLITE = re.compile(r"(sqlite(?:\+pysqlite)?)://(?:/([^?]*))?(?:\?(.*))?", re.DOTALL)

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
    """

    url: str = dataclasses.field(repr=False)
    name: str
    driver: str
    database: str | None
    query: Mapping[str, str | tuple[str, ...]] = dataclasses.field(repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)

    @property
    def is_sqlite(self) -> bool:
        return self.name == "sqlite"

    @property
    def in_memory(self) -> bool:
        """Whether it is a SQLite database that no other process can see."""
        return self.is_sqlite and self.path is None

    @property
    def is_uri(self) -> bool:
        """Whether SQLite opens a URI (``file:...?uri=true``) and not a file name."""
        is_uri = str(self.query.get("uri", "")).lower() in ("true", "1", "yes", "on", "t", "y")
        return is_uri and (self.database or "").startswith("file:")

    @property
    def path(self) -> str | None:
        """The path of the file of a SQLite database.

        ``None`` for a database in memory, and for other databases.

        :raises InvalidPersistence: the URI refers to another host.
        """
        if not self.is_sqlite:
            return None
        name = self.database or ""
        if self.is_uri:
            parts = urllib.parse.urlsplit(name)
            if parts.netloc not in ("", "localhost"):
                raise InvalidPersistence(
                    f"The SQLite URI contains the host {parts.netloc!r}; use file:///path/to/file"
                )
            modes = [value for key, value in urllib.parse.parse_qsl(parts.query) if key == "mode"]
            if "memory" in [*modes, self.query.get("mode")] or self.query.get("vfs") == "memdb":
                return None
            name = urllib.parse.unquote(parts.path)
        return name if name not in ("", ":memory:") else None

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
    match = _SQLITE.fullmatch(connection)
    if match is None:
        return None
    scheme, quoted, parameters = match.groups()
    database = None if quoted is None else urllib.parse.unquote(quoted)
    query = dict(urllib.parse.parse_qsl(parameters or ""))
    address = Address(connection, "sqlite", "pysqlite", database, query)
    path = address.path
    if path is not None:
        path = os.path.realpath(path)
        if address.is_uri:
            _, mark, rest = (database or "").partition("?")
            path = f"file:{urllib.parse.quote(path)}{mark}{rest}"
        database = path
    text = f"{scheme}://"
    if database is not None:
        text += f"/{urllib.parse.quote(database, safe=' +/')}"
    if query:
        text += f"?{urllib.parse.urlencode(sorted(query.items()))}"
    return dataclasses.replace(address, url=text, database=database)


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
    return address.is_uri and address.query.get("mode") in ("ro", "rw")
