"""Where block devices and files are mounted on this host."""

from __future__ import annotations

import os
import re

_OCTAL = re.compile(r"\\(\d{3})")


def by_device() -> dict[str, list[str]]:
    """The mount points of this host: device number ``'7:0'`` -> folders."""
    found: dict[str, list[str]] = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            # ID, parent, device number, root in the filesystem, mount point: proc(5).
            _, _, device, _, folder = line.split(maxsplit=5)[:5]
            found.setdefault(device, []).append(
                _OCTAL.sub(lambda match: chr(int(match[1], 8)), folder)
            )
    return found


def number_of(path: str) -> str | None:
    """The number of a block device, such as ``'7:0'``; ``None`` for other files."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not found.st_rdev:
        return None
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
