"""Errors of a database: which of them a retry can help, and their messages without passwords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cinderlib.errors import StoreError


class NotOfDatabase(Exception):
    """An error of SQLAlchemy, not of the database.

    :ivar error: SQLAlchemy's exception.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Failures:
    """The messages of a database's errors.

    :param store: the name of the store.
    :param secrets: the passwords in its URL.
    :param dbapi: the database's module (PEP 249).
    """

    def __init__(self, store: str, secrets: Sequence[str], dbapi: Any) -> None:
        self._store = store
        self._secrets = secrets
        self._dbapi = dbapi

    def text(self, error: BaseException) -> str:
        """The database's own message, without passwords."""
        text = _message(error).strip() or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return " ".join(text.split())

    def harmless(self, error: BaseException) -> BaseException | None:
        """The error as a cause, unless its text contains a password."""
        return None if any(secret in str(error) for secret in self._secrets) else error

    def error(self, problem: str, error: BaseException | None = None) -> StoreError:
        """The library's error.

        :param error: the database's error, if there is one.
        """
        dbapi = self._dbapi
        lasting = isinstance(error, dbapi.Error) and (
            # Some packages raise InterfaceError if the server cannot be reached.
            not isinstance(error, dbapi.OperationalError | dbapi.InterfaceError)
            or is_read_only(error)
        )
        return StoreError(f"The store {self._store} failed: {problem}.", retryable=not lasting)


def is_busy(error: BaseException) -> bool:
    """Whether another program has locked an SQLite file."""
    # SQLITE_BUSY and SQLITE_LOCKED, with their extended codes.
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF in (5, 6)


def is_read_only(error: BaseException) -> bool:
    """Whether an SQLite file cannot be written."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF == 8  # SQLITE_READONLY


def is_deadlock(error: BaseException) -> bool:
    """Whether the database rolled the transaction back in favour of another."""
    return state(error) in ("40001", "40P01") or (bool(error.args) and error.args[0] == 1213)


def state(error: BaseException) -> str:
    """The state (SQLSTATE) with which a server describes an error. It is empty if the package
    does not report it."""
    fields = _fields(error)
    found = fields.get("C") if fields else None
    return str(found or getattr(error, "pgcode", None) or getattr(error, "sqlstate", None) or "")


def _message(error: BaseException) -> str:
    fields = _fields(error)
    if fields:
        return str(fields.get("M", ""))
    # MySQL's own package has the state as the last argument.
    if isinstance(own := getattr(error, "msg", None), str):
        return own
    return str(error.args[-1] if error.args else error)


def _fields(error: BaseException) -> Mapping[str, str] | None:
    """The fields that PostgreSQL sends, with the names of the protocol: pg8000's errors have no
    attributes for them."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, dict) else None
