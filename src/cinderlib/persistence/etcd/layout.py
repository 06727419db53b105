"""The keys of the records.

- ``PREFIX/layout``: the version of this layout
- ``PREFIX/records/KIND/ID``: a record as JSON
- ``PREFIX/indexes/KIND/INDEX/VALUE``, NUL, the place of a record: an index entry, without a value
- ``PREFIX/locks/...``: see :mod:`cinderlib.persistence.etcd.locks`
- ``PREFIX/sessions/...``: see :mod:`cinderlib.persistence.etcd.sessions`

The place of a record is the creation time, NUL, and the ID, so that the entries of an index
are in the order in which records are listed. NUL occurs neither in IDs nor in values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cinderlib.persistence import host_key
from cinderlib.persistence.base import micros, storable
from cinderlib.records import ConnectionRecord, Record

#: The version of the layout.
VERSION = 1

#: The index with all records of a kind.
ALL = "all"
#: Indexes of connections with two values: the volume, and its user or the host key.
HOST, KEY = "volume_id+attached_host", "volume_id+host_key"

#: Added to times, so that those before 1970 come first too.
_OFFSET = 1 << 63
_SEPARATOR = b"\0"


class Span(NamedTuple):
    """Entries of an index: from the first key to before the last one.

    :ivar skip: length of the part of these keys before the place.
    """

    start: bytes
    end: bytes
    skip: int | None


class Layout:
    """The keys of a store.

    :param prefix: all of them start with it.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()
        self.version = self._prefix + b"/layout"
        self.locks = self._prefix + b"/locks/"
        self.sessions = self._prefix + b"/sessions/"

    def record(self, kind: type[Record], id: str) -> bytes:
        """The key of a record."""
        return b"%s/records/%s/%s" % (self._prefix, kind.kind.encode(), id.encode())

    def indexes(self, kind: type[Record]) -> bytes:
        """The prefix of all index entries of a kind."""
        return b"%s/indexes/%s/" % (self._prefix, kind.kind.encode())

    def entries(self, record: Record) -> set[bytes]:
        """The index entries of a record, which has a creation time."""
        assert record.created_at is not None
        place = b"%016x\0%s" % (micros(record.created_at) + _OFFSET, record.id.encode())
        return {
            self._index(type(record), index, *values) + place for index, *values in _values(record)
        }

    def span(self, kind: type[Record], index: str, *values: str) -> Span:
        """The entries of an index with these values."""
        start = self._index(kind, index, *values)
        return Span(start, start[:-1] + b"\1", len(start))

    def after(self, span: Span, record: Record) -> Span:
        """The entries of a span behind the place of a record."""
        assert span.skip is not None
        created = micros(record.created_at) if record.created_at else 0
        place = b"%016x\0%s" % (created + _OFFSET, record.id.encode())
        return span._replace(start=span.start[: span.skip] + place + b"\0")

    def alike(self, volume: str, connection: ConnectionRecord) -> Iterator[Span]:
        """The entries of connections of a volume that can belong to the host of this one, see
        :class:`cinderlib.persistence.base.Query`. Spans can have entries in common."""
        host = connection.attached_host
        if host and storable(host):
            yield self.span(ConnectionRecord, HOST, volume, host)
        key = host_key.key(connection)
        of_volume = self._index(ConnectionRecord, KEY, volume)
        if key is None:
            yield Span(of_volume, of_volume[:-1] + b"\1", None)
            return
        yield self.span(ConnectionRecord, KEY, volume, key)
        before, behind = host_key.may_be(key)
        # Those without a key come first.
        yield Span(of_volume, of_volume + (before or "0").encode(), None)
        if behind is not None:
            yield Span(of_volume + behind.encode(), of_volume[:-1] + b"\1", None)

    def _index(self, kind: type[Record], index: str, *values: str) -> bytes:
        parts = (value.encode() + _SEPARATOR for value in values or ("",))
        return b"%s%s/%s" % (self.indexes(kind), index.encode(), b"".join(parts))


def place(entry: bytes) -> tuple[bytes, str]:
    """The creation time and the ID in a key of an index."""
    _, created, id = entry.rsplit(_SEPARATOR, 2)
    return created, id.decode()


def _values(record: Record) -> Iterator[tuple[str, ...]]:
    """The indexes that a record is in, each with the values of the entry."""
    yield (ALL,)
    for field in record.indexed:
        value = getattr(record, field)
        if value is not None:
            yield field, value
    if isinstance(record, ConnectionRecord):
        yield KEY, record.volume_id, host_key.key(record) or ""
        if record.attached_host is not None:
            yield HOST, record.volume_id, record.attached_host
