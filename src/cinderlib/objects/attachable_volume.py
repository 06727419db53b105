"""The methods of a volume for its connections: to other hosts, and attached to this host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from cinderlib import serialization, value_checks
from cinderlib.locking.process_identity import this_host
from cinderlib.node import device_options
from cinderlib.objects.arguments import check_resource
from cinderlib.objects.attachable import Attachable, HostAccess
from cinderlib.objects.keywords import ConnectKeywords
from cinderlib.records import ConnectionRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.volume import Volume


class AttachableVolume(Attachable):
    """The part of :class:`cinderlib.Volume` for its connections."""

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
        # A separate query, because the connections to other hosts can be many.
        if self._loaded is not None and self._loaded.connections is not None:
            return super()._connections_here()
        here = {"volume_id": self.id, "attached_host": this_host()}
        found = self._controller.store.iterate(ConnectionRecord, here)
        return [self._controller.wrap(record) for record in found]

    def connect(
        self,
        connector_dict: Mapping[str, Any],
        *,
        migrating: bool = False,
        decrypt: bool = True,
        **fields: Unpack[ConnectKeywords],
    ) -> Connection:
        """Export and map it for a host.

        :param connector_dict: the result of ``get_connector_properties`` on that host.
        :param migrating: for a live migration to this host: the volume may be connected to the
            other host as well until that is disconnected, although it is not multiattach. Not
            needed if both connections have the same ``instance_uuid``.
        :param decrypt: ``False``: the host gets the encrypted data of an encrypted volume, without
            the key.
        :param fields: ``attached_host``, ``attach_mode`` (``'rw'`` or ``'ro'``), ``mountpoint``,
            ``instance_uuid``, ``device_scan_attempts``, ``use_multipath``, ``id``.
        :returns: the connection; the existing one if the host is already connected.
        :raises InvalidVolume: it is connected to another host and neither multiattach nor
            migrating.
        :raises InvalidConnector: the connector lacks a property that the driver needs.
        """
        flag = value_checks.check_flag
        access = HostAccess(fields, flag(migrating, "migrating"), flag(decrypt, "decrypt"))
        return self._connect(connector_dict, access)

    def _connect(
        self, connector: Mapping[str, Any], access: HostAccess, *, to_attach: bool = False
    ) -> Connection:
        connection = self._controller.Connection(
            self._controller.loaded(self._record.backend),
            volume=cast("Volume", self),
            connector=connector,
            **access.fields,
        )
        with self._named():
            volume = connection._connect(
                to_attach=to_attach, migrating=access.migrating, decrypt=access.decrypt
            )
            self._adopt(volume)
        self.changed = connection.changed
        return connection

    def disconnect(self, connection: Connection, force: bool = False) -> None:
        """Unmap it from the connection's host. The last disconnect also removes the export."""
        chosen = check_resource(connection, self._controller.Connection, "connection")
        self._disconnect(chosen, value_checks.check_flag(force, "force"))

    def _disconnect(self, connection: Connection, force: bool, *, detached: bool = False) -> None:
        volume = connection._disconnect(force, detached=detached)
        self.changed = connection.changed
        if volume is None or volume.id != self.id:
            self.refresh()
        else:
            self._adopt(volume)

    def attach(
        self,
        *,
        migrating: bool = False,
        link: str | None = None,
        cgroup: str | None = None,
        persist: bool = False,
        id: str | None = None,
        read_only: bool = False,
        decrypt: bool = True,
    ) -> Connection:
        """Connect it to this host and attach it.

        :param migrating: as for :meth:`connect`.
        :param link: the path of a symbolic link to the device, the same on each host and after each
            boot. It is created or changed, also if the volume is attached already. The detach
            removes it.
        :param cgroup: the folder of a control group (cgroup v2), to whose programs the QoS specs
            apply that the host enforces, see :meth:`cinderlib.Node.attach`. It is set or changed,
            also if the volume is attached already. The detach removes the limits.
        :param persist: attach it again after each boot, see :attr:`cinderlib.Node.persistent`.
        :param id: the ID of the connection; by default a new one.
        :param read_only: attach it read-only.
        :param decrypt: as for :meth:`connect`.
        :returns: the connection, whose ``path`` is the device.
        :raises NodeError: this host could not attach it; it was disconnected again.
        """
        fields: dict[str, Any] = {} if id is None else {"id": id}
        if value_checks.check_flag(read_only, "read_only"):
            fields["attach_mode"] = "ro"
        access = HostAccess(
            fields,
            migrating=value_checks.check_flag(migrating, "migrating"),
            decrypt=value_checks.check_flag(decrypt, "decrypt"),
            options=device_options.check(link, cgroup),
            persist=value_checks.check_flag(persist, "persist"),
        )
        return self._attach(access)

    @contextlib.contextmanager
    def attached(self, *, decrypt: bool = True) -> Iterator[Connection]:
        """``with volume.attached() as attach:`` attaches it, and detaches it at the end.

        :param decrypt: as for :meth:`connect`.
        """
        connection = self.attach(decrypt=decrypt)
        try:
            yield connection
        finally:
            self.detach()

    def cleanup(self) -> None:
        """Detach and disconnect it from this host, if necessary; other hosts are not affected."""
        while self._here() is not None:
            self.detach()
