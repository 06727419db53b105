"""Names of attached devices that are the same after each boot, for /etc/fstab."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from cinderlib.errors import InvalidState
from cinderlib.node import command
from cinderlib.value_checks import check_text

_LINKS = Path("/dev/disk/by-id")
_RBD = Path("/dev/rbd")
#: Prefixes of udev's links, the best first. Only a multipath map has the first one: its paths have
#: the others as well, for a moment.
_PREFERRED = ("dm-uuid-mpath-", "wwn-", "nvme-uuid.", "nvme-eui.", "nvme-nguid.", "scsi-", "")


class Filesystem(msgspec.Struct, frozen=True):
    """A filesystem.

    :ivar type: such as ``'ext4'``.
    :ivar uuid: empty if it has none.
    """

    type: str
    uuid: str = ""


def filesystem(device: str, *, root_helper: str | None = None) -> Filesystem:
    """The filesystem on a device.

    :raises InvalidState: it has none.
    :raises NodeError: it cannot be read.
    """
    output = command.run(
        # Without a signature, its exit code is 2; that must not be the exit code here.
        [
            *("sh", "-c", 'blkid --probe --output export -- "$1" || [ $? = 2 ]', "sh", device),
        ],
        root_helper=root_helper,
    )
    found = dict(line.partition("=")[::2] for line in output.splitlines())
    if found.get("USAGE", "filesystem") != "filesystem" or not found.get("TYPE"):
        raise InvalidState(
            f"{device} has no filesystem; create one first, for example with: mkfs.ext4 {device}",
            resource=device,
        )
    return Filesystem(found["TYPE"], found.get("UUID", ""))


def stable_name(device: str, found: Filesystem) -> str:
    """The name of a device for /etc/fstab.

    Names of the device are better than the UUID of the filesystem, because a clone of the volume
    has the same UUID.

    :raises InvalidState: there is none.
    """
    names = [link for link in _links() if _leads_to(link, device)]
    for prefix in _PREFERRED:
        for link in names:
            if link.name.startswith(prefix) or _RBD in link.parents:
                return escaped(str(link))
    if not found.uuid:
        raise InvalidState(
            f"{device} has no name that is the same after each boot, and its filesystem no UUID",
            resource=device,
        )
    return f"UUID={found.uuid}"


def escaped(path: str) -> str:
    """A path as a field of /etc/fstab, see fstab(5)."""
    text = check_text(path, "path", longest=4000)
    for character in "\\ \t\n":
        text = text.replace(character, f"\\{ord(character):03o}")
    return text


def _links() -> list[Path]:
    by_id = sorted(_LINKS.iterdir()) if _LINKS.is_dir() else []
    return [*by_id, *(sorted(_RBD.rglob("*")) if _RBD.is_dir() else [])]


def _leads_to(link: Path, device: str) -> bool:
    try:
        return link.is_symlink() and os.path.samefile(link, device)
    except OSError:
        return False
