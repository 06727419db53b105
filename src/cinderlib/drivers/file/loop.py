"""The loop devices of this host, as sysfs tells of them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def devices_on(path: Path) -> list[str]:
    """The loop devices that use the file: ``['/dev/loop0']``."""
    wanted = os.path.realpath(path)
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # the device went away between listing and reading
            if os.path.realpath(backing.read_text().rstrip("\n")) == wanted:
                found.append(f"/dev/{backing.parts[-3]}")
    return found


def flush(path: Path) -> None:
    """Bring what was written to the loop devices of a file to the file, and that to the disk.

    :raises PermissionError: only root and the group ``disk`` may open the devices.
    """
    for device in devices_on(path):
        try:
            fd = os.open(device, os.O_RDONLY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError:
            # One that is being detached fails; the kernel flushes it then.
            if device in devices_on(path):
                raise
