"""The loop devices that use the files of the driver."""

from __future__ import annotations

import os
from pathlib import Path

from cinderlib.node import loop

#: How often a device is flushed that fails while it uses the file.
ATTEMPTS = 5


def devices_on(path: Path) -> list[str]:
    """The loop devices that use the file: ``['/dev/loop0']``."""
    return [f"/dev/{found.name}" for found in loop.devices_of(loop.Source.of(str(path)))]


def flush(path: Path) -> None:
    """Flush the writes to the loop devices of a file to the disk.

    :raises PermissionError: only root and the group ``disk`` can open the devices.
    """
    for device in devices_on(path):
        for attempt in range(ATTEMPTS):
            try:
                _flush(device)
                break
            except OSError:
                # A device that is being detached fails, but the kernel flushes it. The file can be
                # attached to it again at once.
                if device not in devices_on(path):
                    break
                if attempt == ATTEMPTS - 1:
                    raise


def _flush(device: str) -> None:
    fd = os.open(device, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
