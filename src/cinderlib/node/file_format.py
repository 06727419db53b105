"""The format of a volume that is a file, such as one on an NFS share.

Cinder's drivers for shares continue a volume in a qcow2 file when they create its first snapshot,
and some can create all volumes as qcow2. They name the format in the connection data, for QEMU. For
other programs, such a file is not the data of the volume.
"""

from __future__ import annotations

from collections.abc import Mapping

from cinderlib.errors import InvalidVolume

RAW = "raw"


def of(data: object) -> str:
    """The format of a volume's content on the host that attaches it.

    :param data: the ``data`` of the driver's answer.
    """
    found = data.get("format") if isinstance(data, Mapping) else None
    return found if isinstance(found, str) and found else RAW


def refuse_others(data: object, volume_id: str | None) -> None:
    """Refuse to use the path of a volume as its data if it is a file of another format.

    :param data: the ``data`` of the driver's answer.
    :raises InvalidVolume: it is.
    """
    found = of(data)
    if found != RAW:
        raise InvalidVolume(
            f"The data of volume {volume_id or '(without an ID)'} cannot be read or written: its"
            f" driver has it in a {found} file. Drivers for shares do that while a volume has"
            " snapshots, or by configuration. Delete its snapshots, or use a volume that is"
            " created from one",
            resource=volume_id,
        )
