"""The methods of a snapshot that connect and attach it, read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from cinderlib import operations
from cinderlib.node import device_options
from cinderlib.objects.arguments import refuse_unknown
from cinderlib.objects.attachable import Attachable, HostAccess
from cinderlib.objects.keywords import SnapshotConnectKeywords
from cinderlib.records import SnapshotRecord

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.volume import Volume


class AttachableSnapshot(Attachable):
    """The part of :class:`cinderlib.Snapshot` for its connections.

    A host accesses a snapshot through a temporary volume, which is deleted with the connection.
    """

    _record: SnapshotRecord

    if TYPE_CHECKING:

        @property
        def volume(self) -> Volume: ...

    @property
    def connections(self) -> list[Connection]:
        """Its connections, as the store has them now. Their ``volume_id`` is the ID of a temporary
        volume."""
        found = operations.temporary.of_snapshot(self._controller.store, self._record)
        return [each for record in found for each in self._controller.wrap(record).connections]

    def connect(
        self, connector_dict: Mapping[str, Any], **fields: Unpack[SnapshotConnectKeywords]
    ) -> Connection:
        """Map it for a host, read-only. To unmap it, disconnect the connection.

        :param connector_dict: the result of ``get_connector_properties`` on that host.
        :param fields: ``attached_host``, ``mountpoint``, ``instance_uuid``,
            ``device_scan_attempts``, ``use_multipath``, ``id``.
        :returns: the connection; the existing one if the host is already connected. Its ``attach``
            creates the device.
        :raises InvalidSnapshot: its status is not ``'available'``.
        :raises Unsupported: the driver can neither map snapshots nor create volumes from them.
            Nothing changed.
        """
        refuse_unknown(
            "A connection of a snapshot", fields, SnapshotConnectKeywords.__annotations__
        )
        return self._connect(connector_dict, HostAccess(fields))

    def _connect(
        self, connector: Mapping[str, Any], access: HostAccess, *, to_attach: bool = False
    ) -> Connection:
        controller, record = self._controller, self._record
        with self._named(), self._whole_call():
            source = self.volume
            connection = controller.Connection(
                controller.loaded(record.backend),
                volume=source,
                connector=connector,
                attach_mode="ro",
                **access.fields,
            )
            there, _, connection.changed = operations.snapshot_access.connect(
                controller.journal,
                *operations.snapshot_access.temporary_volume(
                    controller.journal, record, source.record, connection.record
                ),
                connection._requested,
                to_attach=to_attach,
            )
        connection._adopt(there)
        self.changed = connection.changed
        return connection

    def attach(self, *, link: str | None = None, cgroup: str | None = None) -> Connection:
        """Connect it to this host and attach it, read-only.

        :param link: as for :meth:`cinderlib.Volume.attach`.
        :param cgroup: as for :meth:`cinderlib.Volume.attach`.
        :returns: the connection, whose ``path`` is the device.
        :raises NodeError: this host could not attach it; it was disconnected again.
        :raises InvalidSnapshot, Unsupported: as for :meth:`connect`.
        """
        return self._attach(HostAccess({}, options=device_options.check(link, cgroup)))

    def _settle_unconnected(self) -> None:
        operations.temporary.release_unused(
            self._controller.journal,
            operations.temporary.of_snapshot(self._controller.store, self._record),
        )
