"""The common part of the controllers: that of a store, and that of a service."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Self

from cinderlib.node.this_host import LocalHost
from cinderlib.objects.backend import Backend
from cinderlib.objects.groups import GroupQueries
from cinderlib.objects.history import check_query
from cinderlib.objects.resource import Resource
from cinderlib.objects.store_queries import StoreQueries
from cinderlib.records import ConnectionRecord
from cinderlib.value_checks import check_instance

if TYPE_CHECKING:
    from cinderlib.objects import connection, snapshot, volume
    from cinderlib.operations.history_query import Operation


class ControllerBase(StoreQueries, GroupQueries):
    """Queries of a store or of a service, and this host.

    :ivar local_host: attaches volumes to this host.
    :ivar Volume: the class of the controller's volumes.
    :ivar Snapshot: the class of the controller's snapshots.
    :ivar Connection: the class of the controller's connections.
    """

    local_host: LocalHost
    Volume: type[volume.Volume]
    Snapshot: type[snapshot.Snapshot]
    Connection: type[connection.Connection]

    def _create_classes(
        self,
        of_volumes: type[volume.Volume],
        of_snapshots: type[snapshot.Snapshot],
        of_connections: type[connection.Connection],
    ) -> None:
        """Create the controller's own classes for its objects, so that queries by class
        (``backend.Volume.get_by_id``) use its store.

        :param of_volumes: the base class of the volumes; the others likewise.
        """
        bound = {"_bound": self}
        self.Volume = type("Volume", (of_volumes,), bound)
        self.Snapshot = type("Snapshot", (of_snapshots,), bound)
        self.Connection = type("Connection", (of_connections,), bound)
        self._classes = {kind._kind: kind for kind in (self.Volume, self.Snapshot, self.Connection)}

    def with_key(self, connection: ConnectionRecord) -> ConnectionRecord:
        """The record of a connection with the key of an encrypted volume, for its host."""
        return check_instance(connection, ConnectionRecord, "connection")

    def local_connector(self, backend: Backend) -> dict[str, Any]:
        """The connector properties of this host that a backend's protocol needs."""
        info = check_instance(backend, Backend, "backend").driver_info
        node = self.local_host.node(
            multipath=info.multipath, enforce_multipath=info.enforce_multipath
        )
        protocol = backend.driver_stats().get("storage_protocol")
        return node.connector_properties(protocol if isinstance(protocol, str) else None)

    def history(
        self,
        resource: Resource | str | None = None,
        *,
        backend: str | None = None,
        since: datetime.datetime | None = None,
        after: str | None = None,
        limit: int | None = None,
        running: bool = True,
    ) -> list[Operation]:
        """The operations of the store with their users, times and outcomes. The earliest end comes
        first; operations that have not ended come last. Calls that were refused before they changed
        anything are not operations.

        :param resource: only those of this volume, snapshot or connection: an object, an ID (or its
            beginning, from 8 characters) or a name. Those of a volume include those of
            the volume's snapshots and connections.
        :param backend: only those on this backend.
        :param since: only those that ended after this time.
        :param after: only those that ended after the operation with this ID.
        :param limit: only that many: the newest.
        :param running: include those that have not ended.
        :raises Unsupported: the store is a plug-in that keeps no history.
        """
        return self._history(check_query(resource, backend, since, after, limit, running))

    def _history(self, asked: dict[str, Any]) -> list[Operation]:
        """:param asked: the checked arguments of :meth:`history`."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what the controller uses. Nothing on the storage changes."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
