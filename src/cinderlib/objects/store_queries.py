"""Queries of a store that return objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from cinderlib import errors, value_checks
from cinderlib.objects.arguments import check_resource
from cinderlib.objects.keyvalue import KeyValue
from cinderlib.objects.resource import Resource
from cinderlib.persistence.base import Store
from cinderlib.records import (
    ConnectionRecord,
    KeyValueRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
)

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.snapshot import Snapshot
    from cinderlib.objects.volume import Volume

R = TypeVar("R", bound=Record)


class StoreQueries:
    """The queries of a :class:`cinderlib.Controller`.

    :ivar store: the store to query.
    """

    store: Store
    #: The class of the objects for each kind of record.
    _classes: Mapping[type[Record], type[Resource]]

    def volume(self, volume_id: str) -> Volume:
        """The volume with this ID.

        :raises VolumeNotFound: no volume has that ID.
        """
        return self.wrap(self._get(VolumeRecord, volume_id, errors.VolumeNotFound))

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """The snapshot with this ID.

        :raises SnapshotNotFound: no snapshot has that ID.
        """
        return self.wrap(self._get(SnapshotRecord, snapshot_id, errors.SnapshotNotFound))

    def connection(self, connection_id: str) -> Connection:
        """The connection with this ID.

        :raises ConnectionNotFound: no connection has that ID.
        """
        return self.wrap(self._get(ConnectionRecord, connection_id, errors.ConnectionNotFound))

    def _get(self, kind: type[R], id: str, not_found: type[errors.NotFound]) -> R:
        record = self.store.get(kind, id) if isinstance(id, str) else None
        if record is None:
            what = kind.kind.capitalize()
            raise not_found(f"{what} {value_checks.shown(id)} does not exist", resource=id)
        return record

    def peek_volume(self, volume_id: str) -> VolumeRecord | None:
        """The record of a volume, or ``None``."""
        return self.store.get(VolumeRecord, value_checks.check_text(volume_id, "volume id"))

    def volumes(
        self,
        *,
        backend: str | None = None,
        name: str | None = None,
        after: Volume | None = None,
        limit: int | None = None,
    ) -> Iterator[Volume]:
        """Volumes in the order of creation, streamed, including those of backends that are not
        loaded.

        :param backend: only volumes on this backend.
        :param name: only volumes with exactly this name.
        :param after: only volumes after this one: the last volume of the previous page, which may
            have been deleted since.
        :param limit: the maximum number of volumes.
        """
        return self._stream(VolumeRecord, after, limit, backend=backend, name=name)

    def snapshots(
        self,
        *,
        backend: str | None = None,
        name: str | None = None,
        after: Snapshot | None = None,
        limit: int | None = None,
    ) -> Iterator[Snapshot]:
        """Snapshots, like :meth:`volumes`."""
        return self._stream(SnapshotRecord, after, limit, backend=backend, name=name)

    def connections(
        self,
        *,
        backend: str | None = None,
        attached_host: str | None = None,
        after: Connection | None = None,
        limit: int | None = None,
    ) -> Iterator[Connection]:
        """Connections, like :meth:`volumes`."""
        where = {"backend": backend, "attached_host": attached_host}
        return self._stream(ConnectionRecord, after, limit, **where)

    def key_values(self) -> Iterator[KeyValue]:
        """All key-values.

        :raises Unsupported: the store is a plug-in for cinderlib 5 that cannot list them.
        """
        return self._stream(KeyValueRecord, None, None)

    def _stream(
        self,
        kind: type[Record],
        after: Resource | None,
        limit: int | None,
        **fields: str | None,
    ) -> Iterator[Any]:
        where = {
            field: value_checks.check_text(value, field)
            for field, value in fields.items()
            if value is not None
        }
        last = None
        if after is not None:
            last = check_resource(after, self._classes[kind], "after")._record
        if limit is not None:
            value_checks.check_whole_number(limit, "limit")
        return map(self.wrap, self.store.iterate(kind, where, after=last, limit=limit))

    @overload
    def wrap(self, record: VolumeRecord) -> Volume: ...

    @overload
    def wrap(self, record: SnapshotRecord) -> Snapshot: ...

    @overload
    def wrap(self, record: ConnectionRecord) -> Connection: ...

    @overload
    def wrap(self, record: KeyValueRecord) -> KeyValue: ...

    @overload
    def wrap(self, record: Record) -> Any: ...

    def wrap(self, record: Record) -> Any:
        """The object for a record."""
        if isinstance(record, KeyValueRecord):
            return KeyValue(record.id, record.reveal())
        kind = self._classes[type(record)]
        wrapped = kind.__new__(kind)
        wrapped._init(cast("Controller", self), record)
        return wrapped
