"""The methods of a volume for its connections: to other hosts, and attached to this host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from cinderlib import errors, serialization, value_checks
from cinderlib.locking.process_identity import this_host
from cinderlib.node import links
from cinderlib.objects.arguments import check_resource
from cinderlib.objects.keywords import ConnectKeywords
from cinderlib.objects.resource import Resource
from cinderlib.persistence.host_key import host_of
from cinderlib.records import ConnectionRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.volume import Volume


class AttachableVolume(Resource):
    """The methods of a volume."""

    _record: VolumeRecord
    #: The document that it was loaded from, if it is not in a store.
    _loaded: serialization.VolumeDocument | None = None

    @property
    def connections(self) -> list[Connection]:
        """Its connections, as the store has them now, in the order of creation."""
        found: Iterable[ConnectionRecord] | None = None
        if self._loaded is not None:
            found = self._loaded.connections
        if found is None:
            found = self._controller.store.iterate(ConnectionRecord, {"volume_id": self.id})
        connections = [self._controller.wrap(record) for record in found]
        backend = self._controller.backends.get(self._record.backend)
        if len(connections) > 1 and backend is not None and backend.live_migration:
            together = frozenset(each.id for each in connections)
            for each in connections if not self._record.multiattach else ():
                each._read_with = together
        return connections

    def _connections_here(self) -> list[Connection]:
        """Its connections with this host as ``attached_host``; others can be many."""
        if self._loaded is not None and self._loaded.connections is not None:
            return [each for each in self.connections if each.attached_host == this_host()]
        here = {"volume_id": self.id, "attached_host": this_host()}
        found = self._controller.store.iterate(ConnectionRecord, here)
        return [self._controller.wrap(record) for record in found]

    @property
    def local_attach(self) -> Connection | None:
        """The connection through which any process attached it to this host."""
        return next((each for each in self._connections_here() if each.attached), None)

    def connect(
        self,
        connector_dict: Mapping[str, Any],
        *,
        migrating: bool = False,
        **fields: Unpack[ConnectKeywords],
    ) -> Connection:
        """Export and map it for a host.

        :param connector_dict: the result of ``get_connector_properties`` on that host.
        :param migrating: for a live migration to this host: the volume may be connected to the
            other host as well until that is disconnected, although it is not multiattach. Not
            needed if both connections have the same ``instance_uuid``.
        :param fields: ``attached_host``, ``attach_mode`` (``'rw'`` or ``'ro'``), ``mountpoint``,
            ``instance_uuid``, ``device_scan_attempts``, ``use_multipath``, ``id``.
        :returns: the connection; the existing one if the host is already connected.
        :raises InvalidVolume: it is connected to another host and neither multiattach nor
            migrating.
        :raises InvalidConnector: the connector lacks a property that the driver needs.
        """
        migrating = value_checks.check_flag(migrating, "migrating")
        return self._connect(connector_dict, fields, to_attach=False, migrating=migrating)

    def _connect(
        self,
        connector: Mapping[str, Any],
        fields: ConnectKeywords,
        *,
        to_attach: bool,
        migrating: bool,
    ) -> Connection:
        connection = self._controller.Connection(
            self._controller.loaded(self._record.backend),
            volume=cast("Volume", self),
            connector=connector,
            **fields,
        )
        with self._named():
            self._adopt(connection._connect(to_attach=to_attach, migrating=migrating))
        self.changed = connection.changed
        return connection

    def disconnect(self, connection: Connection, force: bool = False) -> None:
        """Unmap it from the connection's host. The last disconnect also removes the export."""
        chosen = check_resource(connection, self._controller.Connection, "connection")
        self._disconnect(chosen, value_checks.check_flag(force, "force"))

    def _disconnect(self, connection: Connection, force: bool, *, detached: bool = False) -> None:
        volume = connection._disconnect(force, detached=detached)
        if volume is None or volume.id != self.id:
            self.refresh()
        else:
            self._adopt(volume)
        self.changed = connection.changed

    def attach(
        self,
        *,
        migrating: bool = False,
        link: str | None = None,
        persist: bool = False,
        id: str | None = None,
        read_only: bool = False,
    ) -> Connection:
        """Connect it to this host and attach it.

        :param migrating: as for :meth:`connect`.
        :param link: the path of a symbolic link to the device, the same on each host and after each
            boot. It is created or changed, also if the volume is attached already. The detach
            removes it.
        :param persist: attach it again after each boot, see :attr:`cinderlib.Node.persistent`.
        :param id: the ID of the connection; by default a new one.
        :param read_only: attach it read-only.
        :returns: the connection, whose ``path`` is the device.
        :raises NodeError: this host could not attach it; it was disconnected again.
        """
        controller = self._controller
        migrating = value_checks.check_flag(migrating, "migrating")
        link = None if link is None else links.check(link)
        persist = value_checks.check_flag(persist, "persist")
        with self._named(), controller.journal.whole_call():
            connector = controller.local_connector(controller.loaded(self._record.backend))
            here: ConnectKeywords = {"attached_host": this_host()}
            if id is not None:
                here["id"] = id
            if value_checks.check_flag(read_only, "read_only"):
                here["attach_mode"] = "ro"
            connection = self._connect(connector, here, to_attach=True, migrating=migrating)
            connected_here = connection.changed
            try:
                connection.attach(link=link)
            except BaseException as exc:
                if connected_here:
                    self._undo_connect(connection, exc)
                raise
        if persist:
            self._persist(connection, undo=bool(connected_here))
        self.changed = connection.changed
        return connection

    def _persist(self, connection: Connection, *, undo: bool) -> None:
        try:
            self._controller.local_host.persist(connection.record)
        except errors.CinderlibError as exc:
            if undo:
                try:
                    self.detach()
                except errors.CinderlibError as other:
                    exc.add_note(f"Detaching it again also failed: {other}")
            raise

    def _undo_connect(self, connection: Connection, cause: BaseException) -> None:
        try:
            self.disconnect(connection)
        except errors.CinderlibError as exc:
            cause.add_note(f"Disconnecting it again also failed: {exc}")

    def detach(self, force: bool = False, ignore_errors: bool = False) -> None:
        """Remove its device from this host and disconnect it from this host.

        A volume that is not connected to this host does not change.

        :param force: continue with the next step if a step fails, and raise the error at the end.
        :param ignore_errors: with ``force``, do not raise errors.
        :raises NotLocal: it is connected only to other hosts.
        """
        force = value_checks.check_flag(force, "force")
        ignore_errors = value_checks.check_flag(ignore_errors, "ignore_errors")
        connection = self._here()
        if connection is None:
            self._refuse_elsewhere()
            self.changed = False
            return
        failed: errors.CinderlibError | None = None
        journal = self._controller.journal
        with self._named(), journal.whole_call():
            try:
                connection._detach(force, ignore_errors, to_disconnect=True)
            except errors.NodeError as exc:
                if not force:
                    raise
                failed = exc
            self._disconnect(connection, force, detached=failed is None)
            if failed is not None and not ignore_errors:
                raise failed

    def _here(self) -> Connection | None:
        """The connection of :attr:`local_attach`, or another connection of this host whose device
        was removed or never attached."""
        found = self._connections_here()
        return next((each for each in found if each.attached), found[0] if found else None)

    def _refuse_elsewhere(self) -> None:
        others = self.connections
        if others:
            hosts = ", ".join(sorted({host_of(each._record) for each in others}))
            raise errors.NotLocal(
                f"Volume {self.id} is not attached to this host; it is connected to {hosts}",
                resource=self,
            )

    @contextlib.contextmanager
    def attached(self) -> Iterator[Connection]:
        """``with vol.attached() as attach:`` attaches it, and detaches it at the end."""
        connection = self.attach()
        try:
            yield connection
        finally:
            self.detach()

    def cleanup(self) -> None:
        """Detach and disconnect it from this host, if necessary; other hosts are not affected."""
        while self._here() is not None:
            self.detach()
