"""The options of an attach that concern its device."""

from __future__ import annotations

import msgspec


class AttachOptions(msgspec.Struct, frozen=True):
    """What a host does with the device of an attach.

    :ivar link: the path of a symbolic link to the device.
    :ivar cgroup: the path of the control group to which the limits of the volume apply.
    """

    link: str | None = None
    cgroup: str | None = None
