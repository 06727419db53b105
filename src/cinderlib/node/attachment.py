"""The result of an attach."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from cinderlib.node import file_format

#: The state of a device: it exists and belongs to the volume; it does not exist; its name now
#: belongs to another device; the state cannot be determined (no permission, or unreadable data).
DeviceState = Literal["ok", "gone", "another", "unknown"]


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """A volume attached to this host. This is plain data without a connection to the device.

    :ivar path: the device (or the plain file) as a text; a file-like object if the protocol
        provides a handle in this process instead (RBD without the kernel's client).
    :ivar device: the device information, which the controller records and detach needs.
    :ivar multipath_id: WWN of the multipath map, ``None`` if the device is not a map.
    :ivar scsi_wwn: WWN of the SCSI device, if there is one.
    :ivar connection_info: the connection document with the device. It can contain keys in clear.
    :ivar state: of the device at the last check: ``'ok'``, ``'gone'`` if it does not exist any
        more, ``'another'`` if the path now leads to another device, ``'unknown'`` if the state
        cannot be determined.
    :ivar cgroup: the control group whose programs the limits of the volume apply to, if one was
        requested.
    :ivar changed: whether this attach created it; otherwise it already existed.
    """

    # The type is the usual one; only callers that use librbd need to check.
    path: str | Any
    device: dict[str, Any] = dataclasses.field(repr=False)
    connection_info: dict[str, Any] = dataclasses.field(repr=False)
    multipath_id: str | None = None
    scsi_wwn: str | None = None
    state: DeviceState = "ok"
    cgroup: str | None = None
    changed: bool = dataclasses.field(default=False, compare=False)

    @property
    def qos_specs(self) -> dict[str, Any]:
        """The limits that the host enforces: the hypervisor, or a control group (``cgroup`` of
        :meth:`cinderlib.Node.attach`)."""
        return dict(self.connection_info["conn"]["data"].get("qos_specs") or {})

    @property
    def file_format(self) -> str:
        """``'raw'``; or for example ``'qcow2'`` if the path is a file of that format, on an NFS
        share. Only programs that read this format can use it."""
        return file_format.of(self.connection_info["conn"]["data"])

    def to_dict(self) -> dict[str, Any]:
        """All fields for JSON, **with keys in clear**.

        :raises TypeError: the path is a handle of this process.
        """
        if not isinstance(self.path, str):
            raise TypeError("An attachment through a handle of this process cannot be JSON.")
        return dataclasses.asdict(self)
