"""What a request wants to do with a volume: mount it or use its device, on which nodes, how."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from cinderlib.csi.wire import messages as m
from cinderlib.errors import InvalidInput
from cinderlib.value_checks import shown

MODE = m.VolumeCapability.AccessMode
#: Filesystems that a node can create.
FILESYSTEMS = ("ext4", "xfs", "btrfs")
DEFAULT_FILESYSTEM = "ext4"

_KNOWN_MODES = frozenset(MODE.Mode.values()) - {MODE.UNKNOWN}
_READER = {MODE.SINGLE_NODE_READER_ONLY, MODE.MULTI_NODE_READER_ONLY}
_MULTI_NODE = {
    MODE.MULTI_NODE_READER_ONLY,
    MODE.MULTI_NODE_SINGLE_WRITER,
    MODE.MULTI_NODE_MULTI_WRITER,
}
#: The kernel uses the number above it for "unchanged".
_LARGEST_GROUP = 2**32 - 2
_FLAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:=+/@%-]{0,254}")
#: Mount options that change which data is mounted, or what the mount can do to the host.
_REFUSED = re.compile(
    r"(bind|rbind|remount|move|loop|dev|suid|defaults|offset=.*|sizelimit=.*|x-mount.*"
    r"|(make-)?r?(shared|slave|private|unbindable)|users?|owner|group|helper=.*|uhelper=.*)"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Capability:
    """A checked capability.

    :ivar block: the device itself is used; otherwise a mounted filesystem.
    :ivar mode: the access mode, by its number.
    :ivar filesystem: the requested filesystem; empty for any.
    :ivar flags: mount options.
    :ivar group: the number of the group that can read and write; ``None`` for
        no change.
    """

    block: bool
    mode: int
    filesystem: str = ""
    flags: tuple[str, ...] = ()
    group: int | None = None

    @property
    def read_only(self) -> bool:
        """Whether no node writes."""
        return self.mode in _READER

    @property
    def several_nodes(self) -> bool:
        """Whether several nodes use it at the same time."""
        return self.mode in _MULTI_NODE

    @property
    def single_writer(self) -> bool:
        """Whether only one target on the node may have it."""
        return self.mode == MODE.SINGLE_NODE_SINGLE_WRITER


def of(capability: Any) -> Capability:
    """Check a ``VolumeCapability``.

    :raises InvalidInput: it is incomplete, or no volume has it.
    """
    kind = capability.WhichOneof("access_type")
    if kind is None:
        raise InvalidInput("The volume capability has no access type (mount or block).")
    mode = capability.access_mode.mode
    if mode not in _KNOWN_MODES:
        raise InvalidInput("The volume capability has no valid access mode.")
    if kind == "block":
        return Capability(block=True, mode=mode)
    filesystem = capability.mount.fs_type.lower()
    if filesystem and filesystem not in FILESYSTEMS:
        raise InvalidInput(
            f"The filesystem {shown(filesystem)} is not supported. Choose one of:"
            f" {', '.join(FILESYSTEMS)}."
        )
    flags = tuple(flag for given in capability.mount.mount_flags for flag in given.split(","))
    for flag in flags:
        if not _FLAG.fullmatch(flag) or _REFUSED.fullmatch(flag):
            raise InvalidInput(f"The mount flag {shown(flag)} is not allowed.")
    group = _group(capability.mount.volume_mount_group)
    found = Capability(block=False, mode=mode, filesystem=filesystem, flags=flags, group=group)
    if found.several_nodes and not found.read_only:
        name = MODE.Mode.Name(mode)
        raise InvalidInput(
            f"{name} is not possible with a filesystem: {', '.join(FILESYSTEMS)} lose data if two"
            " nodes mount them for writing. Use volumeMode Block, or one node."
        )
    return found


def _group(text: str) -> int | None:
    """:raises InvalidInput: the text is not the number of a group."""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > _LARGEST_GROUP:
        raise InvalidInput(
            f"The volume_mount_group must be a number of a group, not {shown(text)}."
        )
    return int(text)


def of_all(capabilities: Any) -> tuple[Capability, ...]:
    """Check several capabilities.

    :raises InvalidInput: there are none, or one is not valid.
    """
    if not capabilities:
        raise InvalidInput("The field volume_capabilities is missing.")
    return tuple(of(each) for each in capabilities)


def required(request: Any) -> Capability:
    """The capability of a request.

    :raises InvalidInput: it is missing or not valid.
    """
    if not request.HasField("volume_capability"):
        raise InvalidInput("The field volume_capability is missing.")
    return of(request.volume_capability)
