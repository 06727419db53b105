"""LUKS headers: what a device has before it is opened or formatted."""

from __future__ import annotations

import re
from typing import Literal

from cinderlib.node import command

#: What a device has: a header that a key can open; one that was interrupted before it got a key;
#: nothing; other data.
State = Literal["header", "unfinished", "empty", "data"]

#: How much of the beginning must be zeros on an empty device, in bytes. A format that was
#: interrupted earlier has written only behind it: cryptsetup overwrites the place of the keys
#: before it writes the header.
_BEGINNING = 32 << 10
# LUKS2: "  0: luks2"; LUKS1: "Key Slot 0: ENABLED".
_KEY = re.compile(r"^(?:  \d+: luks2|Key Slot \d+: ENABLED)$", re.MULTILINE)


def inspect(path: str, root_helper: str) -> State:
    """What a device has.

    :param path: of the block device.
    :raises MissingDependency: cryptsetup is not installed.
    :raises NodeError: the device cannot be read.
    """
    if _succeeds(["cryptsetup", "isLuks", path], root_helper, {1}):
        described = command.run(["cryptsetup", "luksDump", path], root_helper=root_helper)
        return "header" if _KEY.search(described) else "unfinished"
    compare = ["cmp", "--silent", f"--bytes={_BEGINNING}", path, "/dev/zero"]
    is_empty = _succeeds(compare, root_helper, {1})
    # Status 2: no signature of a filesystem, a RAID, a partition table, ... was found.
    has_signature = _succeeds(["blkid", "--probe", path], root_helper, {2})
    return "empty" if is_empty and not has_signature else "data"


def _succeeds(argv: list[str], root_helper: str, no: set[int]) -> bool:
    """Whether a program ends with the status 0.

    :param no: the exit statuses that mean no; other statuses are errors, or an ambiguous answer
        of blkid.
    """
    try:
        command.run(argv, root_helper=root_helper)
    except command.ProgramFailed as exc:
        if exc.status in no:
            return False
        if argv[0] == "blkid" and exc.status == 8:  # several signatures
            return True
        raise
    return True


def remove_unfinished(path: str, root_helper: str) -> None:
    """Remove a header that no key can open, so that the device is empty."""
    zeros = ["dd", "if=/dev/zero", f"of={path}", f"bs={_BEGINNING}", "count=1"]
    command.run([*zeros, "conv=fsync,notrunc", "status=none"], root_helper=root_helper)
