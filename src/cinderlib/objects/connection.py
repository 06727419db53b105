"""The connection object: it maps a volume to a host, and attaches it on the host."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Unpack, cast

from cinderlib import errors, operations, serialization, value_checks
from cinderlib.node import device_options
from cinderlib.objects import new_connection
from cinderlib.objects.arguments import check_resource
from cinderlib.objects.backend import Backend
from cinderlib.objects.cinder_fields import ConnectionFields
from cinderlib.objects.connection_data import ConnectionData
from cinderlib.objects.keywords import ConnectionKeywords, ConnectKeywords
from cinderlib.objects.volume import Volume
from cinderlib.persistence.host_key import host_of
from cinderlib.records import AttachOptions, ConnectionRecord, Secret, VolumeRecord, replace

LOG = logging.getLogger(__name__)


class Connection(ConnectionFields, ConnectionData):
    """A volume that is mapped to one host.

    ``Volume.connect`` and ``Volume.attach`` create connections. To record a connection that was
    created by other means, use the constructor and :meth:`save`.

    :param backend: the backend of the volume.
    :param volume: the connected volume; or specify ``volume_id`` among the fields.
    :param connector: connector properties of the host.
    :param connection_info: ``{'conn': ..., 'connector': ..., 'device': ...}``.
    :param fields: ``id``, ``volume_id``, ``status``, ``attached_host``, ``attach_mode``,
        ``mountpoint``, ``instance_uuid``, ``use_multipath``, ``device_scan_attempts``.
    :raises InvalidInput: a field is unknown or has an invalid value.
    """

    _kind = ConnectionRecord
    _not_found = errors.ConnectionNotFound
    _shown = ("volume_id", "attached_host", "status")
    #: The IDs of the connections that were read together with this one during a live migration that
    #: the program did not start with ``migrating``.
    _read_with: frozenset[str] = frozenset()

    def __init__(
        self,
        backend: Backend,
        *,
        volume: Volume | None = None,
        connector: Mapping[str, Any] | None = None,
        connection_info: Mapping[str, Any] | None = None,
        **fields: Unpack[ConnectionKeywords],
    ) -> None:
        if volume is not None:
            fields["volume_id"] = check_resource(volume, Volume, "volume").id
        new = new_connection.describe(backend, connector, connection_info, fields)
        self._init(backend.controller, new.record)
        self._requested: Mapping[str, Any] = new.requested

    @classmethod
    def get_by_id(cls, connection_id: str) -> Connection:
        """The connection with this ID.

        :raises ConnectionNotFound: no connection has that ID.
        """
        return cls._class_controller().connection(connection_id)

    @classmethod
    def connect(
        cls, volume: Volume, connector: Mapping[str, Any], **fields: Unpack[ConnectKeywords]
    ) -> Connection:
        """The same as ``volume.connect(connector, **fields)``."""
        return check_resource(volume, Volume, "volume").connect(connector, **fields)

    @property
    def volume(self) -> Volume:
        """The connected volume, read from the store."""
        return self._controller.volume(self._record.volume_id)

    # --- controller side -----------------------------------------------------------------------

    def _connect(
        self, *, to_attach: bool = False, migrating: bool = False, decrypt: bool = True
    ) -> VolumeRecord:
        """:returns: the record of the volume after the connect."""
        record, volume, self.changed = operations.connect.connect(
            self._controller.journal,
            self._record,
            self._requested,
            to_attach=to_attach,
            migrating=migrating,
            decrypt=decrypt,
        )
        self._adopt(record)
        return volume

    def disconnect(self, force: bool = False) -> None:
        """Unmap the volume from the host. The last disconnect also removes the export.

        :param force: disconnect even if the driver fails or the volume is still attached.
        :raises InvalidConnection: it is attached to this host; detach it first.
        """
        self._disconnect(value_checks.check_flag(force, "force"))

    def _disconnect(self, force: bool, *, detached: bool = False) -> VolumeRecord | None:
        """
        :param detached: whether the same call has just detached it.
        :returns: the volume after the disconnect; ``None`` if the connection did not exist.
        """
        if not force and self._stays_after_a_migration():
            return self._controller.peek_volume(self.volume_id)
        with self._named():
            journal = self._controller.journal
            # A loaded document can name another volume than the connection's record.
            volume = operations.disconnect.disconnect(
                journal, self.id, self.volume_id, force=force, detached=detached
            ) or operations.disconnect.disconnect(journal, self.id, force=force)
        self.changed = volume is not None
        self._removed(status="detached", conn_info=None, device=None)
        return volume

    def refresh(self) -> None:
        super().refresh()
        self._read_with = frozenset()

    def _stays_after_a_migration(self) -> bool:
        """Whether it was read while its volume was connected to two hosts for a live migration, and
        is the only connection left. A program that disconnects all the hosts that it has read would
        disconnect the host that uses the volume now; it gets a warning."""
        if self._read_with <= {self.id}:
            return False
        found = self._controller.store.find(ConnectionRecord, {"volume_id": self.volume_id})
        if [each.id for each in found] != [self.id]:
            return False
        LOG.warning(
            "Volume %s stays connected to %s: the other host was disconnected after this"
            " connection was read, so the volume has migrated",
            *(self.volume_id, host_of(self._record)),
        )
        self.changed = False
        return True

    def device_attached(self, device: Mapping[str, Any]) -> None:
        """Record the device on another host that attached it."""
        self.device = value_checks.check_mapping(device, "device")
        self.save()

    # --- node side -----------------------------------------------------------------------------

    def attach(self, *, link: str | None = None, cgroup: str | None = None) -> None:
        """Attach it to this host; its ``path`` is then the device.

        :param link: as for :meth:`cinderlib.Volume.attach`.
        :param cgroup: as for :meth:`cinderlib.Volume.attach`.
        :raises InvalidConnection: the volume is not mapped.
        :raises DeviceUnavailable: the device did not appear, or is not the volume's.
        """
        options = device_options.check(link, cgroup)
        device_options.refuse_unusable(options)
        self._attach(options)

    def _attach(self, options: AttachOptions) -> None:
        with self._named():
            if self.is_new:
                device = self._controller.local_host.attach(self._record, None, options)
                self._adopt(replace(self._record, device=Secret(device)))
                self.changed = True
                return
            record, self.changed = operations.attachments.attach(
                self._controller.journal, self.id, options
            )
            self._adopt(record)

    def detach(self, force: bool = False, ignore_errors: bool = False) -> None:
        """Undo :meth:`attach`; the volume stays mapped to the host.

        :param force: detach even if unwritten data is lost.
        :param ignore_errors: with ``force``, do not raise errors.
        """
        flag = value_checks.check_flag
        self._detach(flag(force, "force"), flag(ignore_errors, "ignore_errors"))

    def _detach(self, force: bool, ignore_errors: bool, *, to_disconnect: bool = False) -> None:
        with self._named():
            if self.is_new:
                self._controller.local_host.detach(
                    self._record, force=force, ignore_errors=ignore_errors
                )
                self._adopt(replace(self._record, device=None))
                self.changed = True
                return
            record, self.changed = operations.attachments.detach(
                self._controller.journal,
                self.id,
                force=force,
                ignore_errors=ignore_errors,
                to_disconnect=to_disconnect,
            )
            self._adopt(record)

    def extend(self) -> int:
        """Update the size of the device on this host after the volume was extended.

        :returns: the device's size in bytes.
        :raises NotLocal: it is not attached here.
        """
        with self._named():
            return self._controller.local_host.extend(self._record)

    def _document(self, *, related: bool) -> serialization.Document:
        record = cast(ConnectionRecord, self._pending())
        return serialization.connection_document(
            record,
            volume=self.volume._record if related else None,
            options=self._controller.document_options(record.backend),
        )
