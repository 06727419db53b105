"""The store of a service, to be read."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from cinderlib import errors, records
from cinderlib.client.transport import Transport
from cinderlib.persistence.base import Change, Store, check_where
from cinderlib.records import (
    ConnectionRecord,
    KeyValueRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
)

R = TypeVar("R", bound=Record)

#: So many records are requested in one answer.
_SHORT = 20

#: Where each kind of record is.
PATHS: Mapping[type[Record], str] = {
    VolumeRecord: "/v1/volumes",
    SnapshotRecord: "/v1/snapshots",
    ConnectionRecord: "/v1/connections",
}


class RemoteStore(Store):
    """Reads through the service, and does not write: each change is a verb."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __repr__(self) -> str:
        return f"the store of {self._transport.url}"

    def get(self, kind: type[R], id: str) -> R | None:
        path = self._path(kind)
        if not id:
            return None  # the path would be that of the list
        try:
            found = self._transport.get(f"{path}/{quote(id, safe='')}", **_keys(kind))
        except errors.NotFound:
            return None
        return records.decode(kind, msgspec.json.encode(found))

    def find(self, kind: type[R], *arguments: Any, **options: Any) -> list[R]:
        return list(self.iterate(kind, *arguments, **options))

    def iterate(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> Iterator[R]:
        query: dict[str, str | None] = {**check_where(kind, where), **_keys(kind)}
        if after is not None:
            query["after"] = cursor(after)
        # Most lists are short. Only longer ones need another connection.
        first = _SHORT if limit is None else min(_SHORT, max(0, limit))
        short = self._transport.get(self._path(kind), **query, limit=str(first))
        for found in short:
            after = records.decode(kind, msgspec.json.encode(found))
            yield after
        if len(short) < first or first == limit or after is None:
            return
        query["after"] = cursor(after)
        if limit is not None:
            query["limit"] = str(limit - first)
        for line in self._transport.lines(self._path(kind), **query):
            yield records.decode(kind, line)

    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        return sum(1 for _ in self.iterate(kind, where))

    def apply(self, *changes: Change) -> tuple[Record, ...]:
        raise errors.Unsupported(
            "Records are not written through the service; use the methods of the objects"
        )

    def close(self) -> None:
        self._transport.close()

    def _path(self, kind: type[Record]) -> str:
        try:
            return PATHS[kind]
        except KeyError:
            raise errors.Unsupported(
                f"The service does not give out records of the kind {kind.kind}"
            ) from None


def _keys(kind: type[Record]) -> dict[str, str | None]:
    """A connection is of use only with the keys that its host needs."""
    return {"keys": "true"} if kind is ConnectionRecord else {}


def cursor(record: Record) -> str:
    """The position of a record in a list, even if it was deleted: creation time and ID."""
    created = record.created_at or datetime.datetime.fromtimestamp(0, datetime.UTC)
    return f"{created.isoformat()},{record.id}"


def of_cursor(kind: type[R], text: str) -> R:
    """The opposite of :func:`cursor`: a record of which only these two are known.

    :raises InvalidInput: it is not a cursor.
    """
    created, _, id = text.partition(",")
    blank: dict[type[Record], dict[str, Any]] = {
        VolumeRecord: {"backend": "", "size": 1, "host": ""},
        SnapshotRecord: {"backend": "", "volume_id": "", "volume_size": 1},
        ConnectionRecord: {"backend": "", "volume_id": "", "connector": {}},
        KeyValueRecord: {},
    }
    try:
        return msgspec.convert({**blank[kind], "id": id, "created_at": created}, kind)
    except msgspec.ValidationError:
        raise errors.InvalidInput(f"{text[:80]!r} is not a place in a list") from None
