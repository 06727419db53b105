"""The connection that users hold: a volume mapped for a host, and the device that host made."""

from __future__ import annotations

import copy
import datetime
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from cinderlib import errors, serialization, validation
from cinderlib.objects.cinder_fields import ConnectionFields
from cinderlib.objects.keywords import ConnectionKeywords, ConnectKeywords
from cinderlib.objects.resource import EditableField, Field, Resource, refuse_unknown
from cinderlib.operations import attachments
from cinderlib.operations import connections as operations
from cinderlib.persistence.host_key import host_of
from cinderlib.records import ConnectionRecord, Secret, VolumeRecord, new_id, replace

LOG = logging.getLogger(__name__)

if TYPE_CHECKING:
    from cinderlib.node.attachment import DeviceState
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.volume import Volume


def _optional_text(value: Any) -> str | None:
    return None if value is None else validation.check_text(value, "text")


def _attempts(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10_000:
        raise errors.InvalidInput(
            f"The device_scan_attempts must be between 1 and 10000, not {validation.shown(value)}"
        )
    return value


def _mode(value: Any) -> str:
    return validation.check_choice(value, validation.ATTACH_MODES, "attach_mode")


_GIVEN: Mapping[str, Callable[[Any], Any]] = {
    "attached_host": _optional_text,
    "attach_mode": _mode,
    "mountpoint": _optional_text,
    "instance_uuid": _optional_text,
    "use_multipath": bool,
    "device_scan_attempts": _attempts,
}
_STORED = {"device_scan_attempts": "scan_attempts"}


class Connection(ConnectionFields, Resource):
    """A volume made reachable for one host.

    ``Volume.connect`` and ``Volume.attach`` make them. A connection that was made by other means is
    described by the constructor and recorded by :meth:`save`.

    :param backend: where the volume is.
    :param volume: what it connects, or its ``volume_id`` among the fields.
    :param connector: properties of the host.
    :param connection_info: ``{'conn': ..., 'connector': ..., 'device': ...}``.
    :param fields: ``id``, ``volume_id``, ``status``, ``attached_host``, ``attach_mode``,
        ``mountpoint``, ``instance_uuid``, ``use_multipath``, ``device_scan_attempts``.
    :raises InvalidInput: a field is unknown or has an impossible value.
    """

    _kind = ConnectionRecord
    _not_found = errors.ConnectionNotFound
    _shown = ("volume_id", "attached_host", "status")
    _record: ConnectionRecord
    #: The ids of the connections that it was read with during a live migration which the program
    #: does not know of.
    _read_with: frozenset[str] = frozenset()

    volume_id = Field[str]("ID of the volume.")
    status = Field[str]("``'attached'`` while it is mapped, ``'detached'`` afterwards.")
    attach_mode = EditableField[str]("``'rw'`` (read-write) or ``'ro'`` (read-only).", _mode)
    attached_host = EditableField[str | None](
        "The host that attached the volume; specified, or set by the attach.", _optional_text
    )
    mountpoint = EditableField[str | None](
        "Free for your use: where the host mounted the device.", _optional_text
    )
    instance_uuid = EditableField[str | None](
        "Distinguishes several users of a volume on one host, for example VMs.", _optional_text
    )
    use_multipath = EditableField[bool]("Whether the host uses all paths to the volume.", bool)
    scan_attempts = EditableField[int](
        "How many times the host checks for the device to appear.", _attempts
    )
    attached_at = Field[datetime.datetime | None](
        "Read from a document or from cinderlib 5; not used here."
    )

    def __init__(
        self,
        backend: Backend,
        *,
        volume: Volume | None = None,
        connector: Mapping[str, Any] | None = None,
        connection_info: Mapping[str, Any] | None = None,
        **fields: Unpack[ConnectionKeywords],
    ) -> None:
        controller = backend.controller
        refuse_unknown("A connection", fields, ["id", "volume_id", "status", *_GIVEN])
        given: dict[str, Any] = {
            _STORED.get(name, name): _GIVEN[name](value)
            for name, value in fields.items()
            if name in _GIVEN
        }
        info = dict(connection_info or {})
        connector = validation.check_connector(
            info.get("connector") if connector is None else connector
        )
        volume_id = volume.id if volume is not None else fields.get("volume_id")
        id = fields.get("id")
        known = {"use_multipath": bool(connector.get("multipath"))} | given
        known.setdefault("scan_attempts", backend.scan_attempts)
        if "mode" in connector:
            known.setdefault("attach_mode", _mode(connector["mode"]))
        record = ConnectionRecord(
            id=new_id()
            if id is None
            else validation.check_id(id, "connection", non_uuid_ids=controller.non_uuid_ids),
            backend=backend.id,
            volume_id=validation.check_id(
                volume_id, "volume", non_uuid_ids=controller.non_uuid_ids
            ),
            connector=connector,
            conn_info=Secret(copy.deepcopy(info["conn"])) if info.get("conn") else None,
            device=Secret(copy.deepcopy(info["device"])) if info.get("device") else None,
            status=validation.check_choice(
                fields.get("status", "attaching"), validation.ATTACH_STATUSES, "status"
            ),
            **known,
        )
        if info:  # The rest has been checked by now.
            serialization.check_record(record)
        self._init(controller, record)
        self._asked: Mapping[str, Any] = given

    @classmethod
    def get_by_id(cls, connection_id: str) -> Connection:
        """The connection that has the id.

        :raises ConnectionNotFound: there is none.
        """
        return cls._class_controller().connection(connection_id)

    @classmethod
    def connect(
        cls, volume: Volume, connector: Mapping[str, Any], **fields: Unpack[ConnectKeywords]
    ) -> Connection:
        """The same as ``volume.connect(connector, **fields)``."""
        return volume.connect(connector, **fields)

    @property
    def volume(self) -> Volume:
        """The volume it connects, as the store has it now."""
        return self._controller.volume(self._record.volume_id)

    # --- what it carries -----------------------------------------------------------------------

    @property
    def connection_info(self) -> dict[str, Any]:
        """What the attaching host must be given: ``{'conn', 'connector', 'device'}``, and beside
        them how the connection was made. **Keys are in it in clear.**"""
        return serialization.wire(self._record, self._controller.peek_volume(self.volume_id))

    @property
    def conn_info(self) -> dict[str, Any]:
        """The driver's answer, ``{'driver_volume_type', 'data'}``, **keys in clear**; empty when
        it is not connected."""
        secret = self._edited.get("conn_info", self._record.conn_info)
        return copy.deepcopy(secret.reveal()) if secret else {}

    @conn_info.setter
    def conn_info(self, value: Mapping[str, Any] | None) -> None:
        self._set_checked("conn_info", Secret(copy.deepcopy(dict(value))) if value else None)

    @property
    def connector_info(self) -> dict[str, Any]:
        """The properties of the host that it is for."""
        return copy.deepcopy(self._edited.get("connector", self._record.connector))

    @connector_info.setter
    def connector_info(self, value: Mapping[str, Any]) -> None:
        self._edited["connector"] = validation.check_connector(value)

    @property
    def device(self) -> dict[str, Any] | None:
        """What the host's attach gave, ``None`` while it is not attached."""
        secret = self._edited.get("device", self._record.device)
        return copy.deepcopy(secret.reveal()) if secret else None

    @device.setter
    def device(self, value: Mapping[str, Any] | None) -> None:
        self._set_checked("device", Secret(copy.deepcopy(dict(value))) if value else None)

    def _set_checked(self, field: str, value: Any) -> None:
        serialization.check_record(replace(self._record, **{field: value}))
        self._edited[field] = value

    @property
    def path(self) -> str | Any:
        """The device on the host that attached it: the path of a block device or of a plain file,
        or a file-like object where the protocol gives a handle of this process; ``None`` while it
        is not attached."""
        # Typed as what it nearly always is: a caller that has just attached the volume need not
        # exclude the other two.
        device = self.device
        if device is None:
            return None
        return self._controller.local_host.handle(self.id) or device.get("path")

    @property
    def device_state(self) -> DeviceState | None:
        """Whether the device is there, looked at now: ``'ok'``, ``'gone'``, ``'another'`` if its
        path leads to something else by now, ``'unknown'`` if that cannot be told; ``None`` if it is
        not attached, or on another host."""
        return self._controller.local_host.look(self._record)

    def to_dict(self) -> dict[str, Any]:
        """Its fields as plain data, without secrets, and its :attr:`device_state`."""
        return {**super().to_dict(), "device_state": self.device_state}

    @property
    def protocol(self) -> str | None:
        """The driver's ``driver_volume_type``, such as ``'iscsi'`` or ``'rbd'``."""
        return self.conn_info.get("driver_volume_type")

    @property
    def connected(self) -> bool:
        """Whether the volume is mapped for the host."""
        return bool(self._record.conn_info)

    @property
    def attached(self) -> bool:
        """Whether a host has recorded a device for it."""
        return self.device is not None

    # --- the controller half -------------------------------------------------------------------

    def _connect(self, *, to_attach: bool = False, migrating: bool = False) -> VolumeRecord:
        """:returns: the volume as it is then."""
        record, volume, self.changed = operations.connect(
            self._controller.journal,
            self._record,
            self._asked,
            to_attach=to_attach,
            migrating=migrating,
        )
        self._adopt(record)
        return volume

    def disconnect(self, force: bool = False) -> None:
        """Unmap the volume from the host; the export goes with the last connection.

        :param force: also when the driver says that it cannot, or the volume is still attached.
        :raises InvalidConnection: it is attached here; detach it first.
        """
        self._disconnect(force)

    def _disconnect(self, force: bool, *, detached: bool = False) -> VolumeRecord | None:
        """
        :param detached: whether the call that this belongs to has just detached it.
        :returns: the volume as it is then; ``None`` when there was no such connection.
        """
        if not force and self._is_left_by_a_migration():
            LOG.warning(
                "Volume %s stays connected to %s: the other host was disconnected after this"
                " connection was read, so the volume has migrated",
                *(self.volume_id, host_of(self._record)),
            )
            self.changed = False
            return self._controller.peek_volume(self.volume_id)
        with self._named():
            journal = self._controller.journal
            # A document that was loaded can name a volume that is not the connection's.
            volume = operations.disconnect(
                journal, self.id, self.volume_id, force=force, detached=detached
            ) or operations.disconnect(journal, self.id, force=force)
        self.changed = volume is not None
        self._removed(status="detached", conn_info=None, device=None)
        return volume

    def refresh(self) -> None:
        super().refresh()
        self._read_with = frozenset()

    def _is_left_by_a_migration(self) -> bool:
        """Whether it was read while its volume was connected to two hosts for a live migration, and
        is the only one left: a program that disconnects all hosts that it has read would take the
        volume from the host that uses it now."""
        if self._read_with <= {self.id}:
            return False
        found = self._controller.store.find(ConnectionRecord, {"volume_id": self.volume_id})
        return [each.id for each in found] == [self.id]

    def device_attached(self, device: Mapping[str, Any]) -> None:
        """Record the device that another host made of it."""
        self.device = dict(device)
        self.save()

    # --- the host half -------------------------------------------------------------------------

    def attach(self) -> None:
        """Make a device of it on this host; its ``path`` is then set.

        :raises InvalidConnection: the volume is not mapped.
        :raises DeviceUnavailable: the device did not appear, or is not the volume.
        """
        with self._named():
            if self.is_new:
                device = self._controller.local_host.attach(self._record, None)
                self._adopt(replace(self._record, device=Secret(device)))
                self.changed = True
                return
            record, self.changed = attachments.attach(self._controller.journal, self.id)
            self._adopt(record)

    def detach(self, force: bool = False, ignore_errors: bool = False) -> None:
        """Undo :meth:`attach`; the volume stays mapped for the host.

        :param force: also when data that was not written yet is lost by it.
        :param ignore_errors: with ``force``, raise nothing.
        """
        self._detach(force, ignore_errors)

    def _detach(self, force: bool, ignore_errors: bool, *, to_disconnect: bool = False) -> None:
        with self._named():
            if self.is_new:
                self._controller.local_host.detach(
                    self._record, force=force, ignore_errors=ignore_errors
                )
                self._adopt(replace(self._record, device=None))
                self.changed = True
                return
            record, self.changed = attachments.detach(
                self._controller.journal,
                self.id,
                force=force,
                ignore_errors=ignore_errors,
                to_disconnect=to_disconnect,
            )
            self._adopt(record)

    def extend(self) -> int:
        """Let this host see that the volume has grown.

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
