"""The loop devices that use the files of the driver."""

from __future__ import annotations

import os
from pathlib import Path

from cinderlib.node import loop


def devices_on(path: Path) -> list[str]:
    """The loop devices that use the file: ``['/dev/loop0']``."""
    return [f"/dev/{found.name}" for found in loop.devices_of(loop.Source.of(str(path)))]


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
