"""What an attach gives."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

#: What became of a device: it is there and the volume's; it is not there; its name has gone to
#: another; it cannot be told, for want of rights or because what tells it apart is unreadable.
DeviceState = Literal["ok", "gone", "another", "unknown"]


@dataclasses.dataclass(frozen=True, slots=True)
class Attachment:
    """A volume attached to this host. Plain data: it closes nothing when it goes.

    :ivar path: the device (or the plain file) as a text; a file-like object where the protocol
        gives a handle of this process instead (RBD without the kernel's client).
    :ivar device: for the controller to record, and to be given back for detach.
    :ivar multipath_id: WWN of the multipath map, ``None`` if the device is not a map.
    :ivar scsi_wwn: of the SCSI device, where there is one.
    :ivar connection_info: the connection document with the device in it. Can carry keys in clear.
    :ivar state: of the device when it was looked at: ``'ok'``, ``'gone'`` if it is not there any
        more, ``'another'`` if the path leads to something else by now, ``'unknown'`` if that cannot
        be told.
    :ivar changed: whether the attach made it; it can have been there already.
    """

    # Typed as what it nearly always is; only callers that use librbd need to check.
    path: str | Any
    device: dict[str, Any] = dataclasses.field(repr=False)
    connection_info: dict[str, Any] = dataclasses.field(repr=False)
    multipath_id: str | None = None
    scsi_wwn: str | None = None
    state: DeviceState = "ok"
    changed: bool = dataclasses.field(default=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON, **keys in clear**.

        :raises TypeError: the path is a handle of this process.
        """
        if not isinstance(self.path, str):
            raise TypeError("An attachment through a handle of this process is no JSON.")
        return dataclasses.asdict(self)
