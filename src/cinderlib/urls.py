"""URLs of stores and lock services, as text: find the file of a SQLite URL, hide passwords.

This does not need SQLAlchemy: the command reads its configuration before it loads SQLAlchemy.
"""

from __future__ import annotations

import dataclasses
import os
import re
import urllib.parse
from collections.abc import Mapping
from functools import partial

from cinderlib.errors import InvalidPersistence

_HIDDEN = "***"

#: The greedy group ends at the last ``@``: a password can contain ``/``, ``?`` and ``@``.
_WITH_LOGIN = re.compile(r"([A-Za-z][\w+.-]*://)(.*)@([^@]*)", re.DOTALL)
_PLAIN = re.compile(r"([A-Za-z][\w+.-]*)://(.*)", re.DOTALL)
_ETCD_FILE = re.compile(r"(?<![^&])(ca=|cert=|key=)([^&]+)")
_OF_SQLITE = re.compile(r"(sqlite(?:\+pysqlite)?)://(?:/([^?]*))?(?:\?(.*))?", re.DOTALL)
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)([^?]*)(\?.*)?", re.DOTALL)


def hide(text: str) -> str:
    """A URL for messages: without the password and the values of the query, which can contain one
    too. Text that is not a URL is hidden completely."""
    login = _WITH_LOGIN.fullmatch(text)
    if login is not None:
        user, colon, _ = login[2].partition(":")
        # Without a password, the user part can be a token.
        shown = f"{user}:{_HIDDEN}" if colon and user.isprintable() else _HIDDEN
        return f"{login[1]}{shown}@{_without_query(login[3])}"
    plain = _PLAIN.fullmatch(text)
    return f"{plain[1]}://{_without_query(plain[2])}" if plain is not None else _HIDDEN


def hide_in(text: str) -> str:
    """A text for messages that may be a URL. It is unchanged if it cannot contain a secret."""
    return hide(text) if "://" in text and set(text) & set("@?#") else text


def _without_query(text: str) -> str:
    end = re.search(r"[?#]", text)
    return text if end is None else f"{text[: end.start() + 1]}{_HIDDEN}"


@dataclasses.dataclass(frozen=True)
class SQLite:
    """The parts of the URL of a SQLite database.

    :ivar scheme: the part before ``://``.
    :ivar database: the file name or URI; ``None`` or empty for a database in memory.
    """

    scheme: str
    database: str | None
    query: Mapping[str, str]

    @property
    def is_uri(self) -> bool:
        """Whether SQLite opens a URI (``file:...?uri=true``) and not a file name."""
        is_uri = self.query.get("uri", "").lower() in ("true", "1", "yes", "on", "t", "y")
        return is_uri and (self.database or "").startswith("file:")

    @property
    def path(self) -> str | None:
        """The path of the file; ``None`` for a database in memory.

        :raises InvalidPersistence: the URI refers to another host.
        """
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


def of_sqlite(url: str) -> SQLite | None:
    """The parts of the URL of a SQLite database; ``None`` if it is another URL."""
    match = _OF_SQLITE.fullmatch(url)
    if match is None:
        return None
    scheme, quoted, parameters = match.groups()
    database = None if quoted is None else urllib.parse.unquote(quoted)
    return SQLite(scheme, database, dict(urllib.parse.parse_qsl(parameters or "")))


def in_memory(url: str) -> bool:
    """Whether it is the URL of a SQLite database that exists only in memory."""
    found = of_sqlite(url)
    try:
        return found is not None and found.path is None
    except InvalidPersistence:
        return False


def absolute(url: str, folder: str | os.PathLike[str]) -> str:
    """The URL with absolute paths: of the file of a SQLite database, of the certificates for etcd.

    :param folder: the folder that relative paths start from.
    """
    if url.startswith("etcd://"):
        login, at, place = url.rpartition("@")
        hosts, mark, query = place.partition("?")
        return f"{login}{at}{hosts}{mark}{_ETCD_FILE.sub(partial(_in, folder), query)}"
    match = _SQLITE.fullmatch(url)
    if match is None or match[2] in ("", ":memory:") or match[2].startswith("file:"):
        return url
    return f"{match[1]}{os.path.normpath(os.path.join(folder, match[2]))}{match[3] or ''}"


def _in(folder: str | os.PathLike[str], parameter: re.Match[str]) -> str:
    """A parameter of a URL with its file in a folder."""
    # A space, % or & of the folder would not be part of the path in a URL.
    start = re.sub(r"[%&+ #]", lambda found: f"%{ord(found[0]):02X}", os.fspath(folder))
    return f"{parameter[1]}{os.path.normpath(os.path.join(start, parameter[2]))}"
