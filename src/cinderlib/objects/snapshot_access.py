"""The methods of a snapshot that connect and attach it, read-only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from cinderlib import errors, value_checks
from cinderlib.locking.process_identity import this_host
from cinderlib.node import links
from cinderlib.objects.keywords import SnapshotConnectKeywords
from cinderlib.objects.resource import Resource
from cinderlib.operations import snapshot_access, temporary
from cinderlib.persistence.host_key import host_of
from cinderlib.records import SnapshotRecord

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.volume import Volume


class AttachableSnapshot(Resource):
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
        found = temporary.of_snapshot(self._controller.store, self._record)
        return [each for record in found for each in self._controller.wrap(record).connections]

    @property
    def local_attach(self) -> Connection | None:
        """The connection through which any process attached it to this host."""
        return next((each for each in self._connections_here() if each.attached), None)

    def _connections_here(self) -> list[Connection]:
        return [each for each in self.connections if each.attached_host == this_host()]

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
        with self._named(), self._controller.journal.whole_call():
            return self._connect(connector_dict, fields, to_attach=False)

    def _connect(
        self, connector: Mapping[str, Any], fields: SnapshotConnectKeywords, *, to_attach: bool
    ) -> Connection:
        controller, record = self._controller, self._record
        source = self.volume
        connection = controller.Connection(
            controller.loaded(record.backend),
            volume=source,
            connector=connector,
            attach_mode="ro",
            **fields,
        )
        there, _, connection.changed = snapshot_access.connect(
            controller.journal,
            *snapshot_access.temporary_volume(
                controller.journal, record, source.record, connection.record
            ),
            connection._requested,
            to_attach=to_attach,
        )
        connection._adopt(there)
        self.changed = connection.changed
        return connection

    def attach(self, *, link: str | None = None) -> Connection:
        """Connect it to this host and attach it, read-only.

        :param link: as for :meth:`cinderlib.Volume.attach`.
        :returns: the connection, whose ``path`` is the device.
        :raises NodeError: this host could not attach it; it was disconnected again.
        :raises InvalidSnapshot, Unsupported: as for :meth:`connect`.
        """
        controller = self._controller
        link = None if link is None else links.check(link)
        with self._named(), controller.journal.whole_call():
            connector = controller.local_connector(controller.loaded(self._record.backend))
            connection = self._connect(connector, {"attached_host": this_host()}, to_attach=True)
            connected_here = connection.changed
            try:
                connection.attach(link=link)
            except BaseException as exc:
                if connected_here:
                    try:
                        connection.disconnect()
                    except errors.CinderlibError as failed:
                        exc.add_note(f"Disconnecting it again also failed: {failed}")
                raise
        self.changed = connection.changed
        return connection

    def detach(self, force: bool = False, ignore_errors: bool = False) -> None:
        """Remove its device from this host and disconnect it from this host.

        A snapshot that is not connected to this host does not change.

        :param force: continue with the next step if a step fails, and raise the error at the end.
        :param ignore_errors: with ``force``, do not raise errors.
        :raises NotLocal: it is connected only to other hosts.
        """
        force = value_checks.check_flag(force, "force")
        ignore_errors = value_checks.check_flag(ignore_errors, "ignore_errors")
        connection = self._here()
        if connection is None:
            journal, store = self._controller.journal, self._controller.store
            temporary.release_unused(journal, temporary.of_snapshot(store, self._record))
            self.changed = False
            return
        volume = connection.volume
        with self._named():
            volume.detach(force=force, ignore_errors=ignore_errors)
        self.changed = volume.changed

    def _here(self) -> Connection | None:
        """Its connection to this host, attached or not; ``None`` if it is not connected at all.

        :raises NotLocal: it is connected only to other hosts.
        """
        here = self._connections_here()
        if here:
            return next((each for each in here if each.attached), here[0])
        others = self.connections
        if others:
            hosts = ", ".join(sorted({host_of(each.record) for each in others}))
            raise errors.NotLocal(
                f"Snapshot {self.id} is not attached to this host; it is connected to {hosts}",
                resource=self,
            )
        return None

    @contextlib.contextmanager
    def attached(self) -> Iterator[Connection]:
        """``with snapshot.attached() as attach:`` attaches it, and detaches it at the end."""
        connection = self.attach()
        try:
            yield connection
        finally:
            self.detach()
