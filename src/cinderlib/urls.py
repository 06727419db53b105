"""URLs of stores and of lock services, as text: what is a file in them, and what a message shows.

It needs no SQLAlchemy, as the command reads a configuration before it loads one.
"""

from __future__ import annotations

import os
import re

_HIDDEN = "***"

#: The greedy first group ends at the last ``@``: a password may hold ``/``, ``?`` and ``@``.
_WITH_LOGIN = re.compile(r"([A-Za-z][\w+.-]*://)(.*)@([^@]*)", re.DOTALL)
_PLAIN = re.compile(r"([A-Za-z][\w+.-]*)://(.*)", re.DOTALL)
_ANY_SQLITE = re.compile(r"sqlite(?:\+\w+)?://(?:/([^?]*))?(?:\?(.*))?", re.DOTALL)
_SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)([^?]*)(\?.*)?", re.DOTALL)


def hide(text: str) -> str:
    """A URL for people: without its password, and without the values in its query, which can hold
    one too. Text that is not a URL is hidden whole."""
    login = _WITH_LOGIN.fullmatch(text)
    if login is not None:
        user, colon, _ = login[2].partition(":")
        # Without a password, what stands there can be a token.
        shown = f"{user}:{_HIDDEN}" if colon and user.isprintable() else _HIDDEN
        return f"{login[1]}{shown}@{_without_query(login[3])}"
    plain = _PLAIN.fullmatch(text)
    return f"{plain[1]}://{_without_query(plain[2])}" if plain is not None else _HIDDEN


def hide_in(text: str) -> str:
    """A text for people that may be a URL: as it is if nothing in it can be a secret of a URL."""
    return hide(text) if "://" in text and set(text) & set("@?#") else text


def _without_query(text: str) -> str:
    end = re.search(r"[?#]", text)
    return text if end is None else f"{text[: end.start() + 1]}{_HIDDEN}"


def in_memory(url: str) -> bool:
    """Whether it is the URL of a SQLite database that is gone when its process ends."""
    match = _ANY_SQLITE.fullmatch(url)
    if match is None:
        return False
    file, query = match[1] or "", match[2] or ""
    return file in ("", ":memory:") or "file::memory:" in file or "mode=memory" in query


def absolute(url: str, folder: str | os.PathLike[str]) -> str:
    """The URL with the file of a SQLite database as an absolute path.

    :param folder: what a relative path is relative to.
    """
    match = _SQLITE.fullmatch(url)
    if match is None or match[2] in ("", ":memory:") or match[2].startswith("file:"):
        return url
    return f"{match[1]}{os.path.normpath(os.path.join(folder, match[2]))}{match[3] or ''}"
