"""The data of a connection: its fields, the driver's answer, and the device on the host."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cinderlib import operations, serialization, validation, value_checks
from cinderlib.node import file_format
from cinderlib.objects import new_connection
from cinderlib.objects.fields import EditableField, Field
from cinderlib.objects.resource import Resource
from cinderlib.records import ConnectionRecord, Secret, replace

if TYPE_CHECKING:
    from cinderlib.node.attachment import DeviceState


class ConnectionData(Resource):
    """The data of :class:`cinderlib.Connection`."""

    _record: ConnectionRecord

    volume_id = Field[str]("ID of the volume.")
    status = Field[str]("``'attached'`` while it is mapped, ``'detached'`` afterwards.")
    attach_mode = EditableField[str](
        "``'rw'`` (read-write) or ``'ro'`` (read-only).", new_connection.check_mode
    )
    attached_host = EditableField[str | None](
        "The host that attached the volume; specified, or set by the attach.",
        value_checks.check_optional_text,
    )
    mountpoint = EditableField[str | None](
        "Free for your use: where the host mounted the device.", value_checks.check_optional_text
    )
    instance_uuid = EditableField[str | None](
        "Distinguishes several users of a volume on one host, for example VMs.",
        value_checks.check_optional_text,
    )
    use_multipath = EditableField[bool](
        "Whether the host uses all paths to the volume.", value_checks.check_flag
    )
    scan_attempts = EditableField[int](
        "How many times the host checks for the device to appear.", new_connection.check_attempts
    )
    attached_at = Field[datetime.datetime | None](
        "Read from a document or from cinderlib 5; not used here."
    )

    @property
    def connection_info(self) -> dict[str, Any]:
        """The dict for the attaching host: ``{'conn', 'connector', 'device'}`` and the settings of
        the connection. **Keys are in clear.**"""
        record = self._controller.with_key(self._record)
        return serialization.wire(record, self._controller.peek_volume(self.volume_id))

    @property
    def conn_info(self) -> dict[str, Any]:
        """The driver's answer, ``{'driver_volume_type', 'data'}``, **keys in clear**; empty if the
        volume is not connected."""
        secret = self._edited.get("conn_info", self._record.conn_info)
        secret = self._controller.with_key(replace(self._record, conn_info=secret)).conn_info
        return copy.deepcopy(secret.reveal()) if secret else {}

    @conn_info.setter
    def conn_info(self, value: Mapping[str, Any] | None) -> None:
        self._set_checked("conn_info", value)

    @property
    def connector_info(self) -> dict[str, Any]:
        """The connector properties of the host."""
        return copy.deepcopy(self._edited.get("connector", self._record.connector))

    @connector_info.setter
    def connector_info(self, value: Mapping[str, Any]) -> None:
        self._edited["connector"] = validation.check_connector(value)

    @property
    def device(self) -> dict[str, Any] | None:
        """The result of the host's attach, ``None`` while it is not attached."""
        secret = self._edited.get("device", self._record.device)
        return copy.deepcopy(secret.reveal()) if secret else None

    @device.setter
    def device(self, value: Mapping[str, Any] | None) -> None:
        self._set_checked("device", value)
        if value:
            self._note_opened()

    def _note_opened(self) -> None:
        """The host has attached it, so an encrypted volume has a header."""
        info = self._edited.get("conn_info", self._record.conn_info)
        opened = operations.encryption.opened(info)
        if opened is not info:
            self._edited["conn_info"] = opened

    def _set_checked(self, field: str, value: Mapping[str, Any] | None) -> None:
        checked = new_connection.check_data({} if value is None else value, field)
        secret = Secret(checked) if checked else None
        serialization.check_record(replace(self._record, **{field: secret}))
        self._edited[field] = secret

    @property
    def path(self) -> str | Any:
        """The device on the host that attached it: the path of a block device or a plain file, or a
        file-like object for protocols that return a handle in this process; ``None`` while it is
        not attached."""
        # The type is the usual one, so that a caller that has just attached the volume does not
        # need to exclude the others.
        local_host = self._controller.local_host
        device = self.device if "device" in self._edited else local_host.device(self._record)
        if device is None:
            return None
        return local_host.handle(self.id) or device.get("path")

    @property
    def device_state(self) -> DeviceState | None:
        """The current state of the device: ``'ok'``, ``'gone'``, ``'another'`` if its path now
        leads to another device, ``'unknown'`` if it cannot be determined; ``None`` if it is not
        attached, or attached on another host."""
        return self._controller.local_host.look(self._record)

    def to_dict(self) -> dict[str, Any]:
        """Its fields as plain data, without secrets, and its :attr:`device_state`."""
        return {**super().to_dict(), "device_state": self.device_state}

    @property
    def protocol(self) -> str | None:
        """The driver's ``driver_volume_type``, such as ``'iscsi'`` or ``'rbd'``."""
        secret = self._edited.get("conn_info", self._record.conn_info)
        return (secret.reveal() if secret else {}).get("driver_volume_type")

    @property
    def file_format(self) -> str:
        """``'raw'``; or for example ``'qcow2'`` if :attr:`path` is a file of that format, on an NFS
        share. Only programs that read this format can use it."""
        secret = self._edited.get("conn_info", self._record.conn_info)
        return file_format.of(secret.reveal().get("data") if secret else None)

    @property
    def qos_specs(self) -> dict[str, Any]:
        """The limits that the host enforces: the hypervisor, or a control group (``cgroup`` of
        :meth:`cinderlib.Volume.attach`)."""
        data = self.conn_info.get("data")
        found = data.get("qos_specs") if isinstance(data, dict) else None
        return dict(found or {})

    @property
    def connected(self) -> bool:
        """Whether the volume is mapped for the host."""
        return bool(self._record.conn_info)

    @property
    def attached(self) -> bool:
        """Whether a host has recorded a device for it."""
        return self.device is not None
