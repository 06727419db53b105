"""The database alone: the library's transactions with the same rows, as plain SQL statements,
without checks, locks and queries. With a driver call between the two transactions of each
operation, this is the lower limit for any library."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.subjects.cycle import Step, timed

VOLUME = ("id", "version", "created_at", "backend", "name", "document")
CONNECTION = (
    "id", "version", "created_at", "backend", "volume_id", "attached_host", "host_key", "document",
)  # fmt: skip
INTENT = ("id", "version", "created_at", "backend", "resource_id", "document")


class Subject:
    """:param url: of a database with the library's tables.
    :param documents: of a volume, a connection and an intent, in the library's format.
    :param bare: whether to call a driver between transactions, as :mod:`benchmarks.subjects.bare`
        does.
    """

    def __init__(self, url: str, documents: dict[str, str], bare: bool = False) -> None:
        self._bare: Any = None
        if bare:
            from benchmarks.subjects.bare import Subject as Bare

            self._bare = Bare()
        if url.startswith("sqlite:///"):
            import sqlite3

            self._connection: Any = sqlite3.connect(
                url.removeprefix("sqlite:///"), isolation_level=None
            )
            # The same settings as the library.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("PRAGMA secure_delete=ON")
            self._begin, self._mark = "BEGIN IMMEDIATE", "?"
        else:
            import psycopg2

            self._connection = psycopg2.connect(url)
            self._connection.autocommit = True
            self._begin, self._mark = "BEGIN", "%s"
        self._documents = documents
        self._cursor = self._connection.cursor()

    def close(self) -> None:
        self._connection.close()

    def cycles(self, first: int, count: int) -> dict[str, list[float]]:
        return timed(self._cycle, first, count)

    def _do(self, *statements: tuple[str, tuple[Any, ...]]) -> None:
        cursor = self._connection.cursor()
        cursor.execute(self._begin)
        for text, values in statements:
            cursor.execute(text, values)
        cursor.execute("COMMIT")

    def _call(self, step: str, number: int) -> None:
        if self._bare is not None:
            getattr(self._bare, step)(number)

    def _insert(self, kind: str, columns: tuple[str, ...], *values: Any) -> Any:
        marks = ", ".join([self._mark] * len(columns))
        text = f"INSERT INTO cinderlib_{kind} ({', '.join(columns)}) VALUES ({marks})"
        return text, (*values, self._documents[kind])

    def _update(self, kind: str, id: str, version: int) -> Any:
        text = "UPDATE cinderlib_{} SET version = {}, document = {} WHERE id = {} AND version = {}"
        values = version + 1, self._documents[kind], id, version
        return text.format(kind, *[self._mark] * len(values)), values

    def _delete(self, kind: str, id: str) -> Any:
        return f"DELETE FROM cinderlib_{kind} WHERE id = {self._mark}", (id,)

    def _cycle(self, number: int) -> Iterator[Step]:
        id, intent, link = f"raw-v-{number}", f"raw-i-{number}", f"raw-c-{number}"
        name, now = f"volume-{number}", int(time.time() * 1_000_000)

        def begin() -> Any:
            return self._insert("intent", INTENT, intent, 1, now, "null", id)

        def volume(version: int) -> Any:
            return self._update("volume", id, version)

        def connection(version: int) -> Any:
            return self._update("connection", link, version)

        def create() -> None:
            self._do(begin(), self._insert("volume", VOLUME, id, 1, now, "null", name))
            self._call("create", number)
            self._do(volume(1), self._delete("intent", intent))

        def connect() -> None:
            values = (link, 1, now, "null", id, None, f"0{number:024x}")
            new = self._insert("connection", CONNECTION, *values)
            self._do(begin(), new)
            self._call("connect", number)
            self._do(
                volume(2), connection(1), self._delete("intent", link),
                self._delete("intent", intent),
            )  # fmt: skip

        def disconnect() -> None:
            self._do(begin(), connection(2))
            self._call("disconnect", number)
            self._do(
                volume(3), self._delete("connection", link), self._delete("intent", link),
                self._delete("intent", intent),
            )  # fmt: skip

        def delete() -> None:
            self._do(begin(), volume(4))
            self._call("delete", number)
            self._do(self._delete("volume", id), self._delete("intent", intent))

        def get(column: str, value: str) -> None:
            text = f"SELECT document FROM cinderlib_volume WHERE {column} = {self._mark}"
            self._cursor.execute(text, (value,))
            json.loads(self._cursor.fetchall()[0][0])

        yield "create", create
        yield "get_by_id", lambda: get("id", id)
        yield "get_by_name", lambda: get("name", name)
        yield "connect", connect
        yield "disconnect", disconnect
        yield "delete", delete
