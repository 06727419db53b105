"""Loop devices: which there are, by sysfs; made and removed with ``losetup``."""

from __future__ import annotations

import os
from pathlib import Path

from cinderlib.errors import DeviceUnavailable, LeftoverDevice, NodeError
from cinderlib.node import block, command

_GONE_TIMEOUT = 5.0


def backing_file(device: str) -> str | None:
    """The file behind a loop device, or ``None`` when the path is no loop device in use."""
    if not block.is_block(device):
        return None
    return block.read(block.sysfs(device) / "loop" / "backing_file")


def is_of(device: str, file: str) -> bool:
    """Whether a loop device is one of the file, even when the file's name was removed since."""
    real = os.path.realpath(file)
    return backing_file(device) in (real, f"{real} (deleted)")


def devices_of(file: str) -> list[block.Trace]:
    """The loop devices of a file."""
    real = os.path.realpath(file)
    found = []
    for attribute in (block.SYS / "block").glob("loop*/loop/backing_file"):
        if block.read(attribute) == real:
            found += block.traces(f"/dev/{attribute.parent.parent.name}")
    return found


def create(file: str, *, read_only: bool) -> str:
    """A loop device of the file, with direct I/O where the file's filesystem has it."""
    mode = ["--read-only"] if read_only else []
    before = devices_of(file)
    try:
        device = command.run(["losetup", "--find", "--show", "--direct-io=on", *mode, file])
    except NodeError as direct:
        # It may have failed after the device was there.
        for made in devices_of(file):
            if made not in before:
                return f"/dev/{made.name}"
        if not Path("/dev/loop-control").exists():
            raise DeviceUnavailable(
                "This host has no /dev/loop-control, so no loop device can be made. Load the "
                "kernel's loop module, or give the container the device."
            ) from direct
        device = command.run(["losetup", "--find", "--show", *mode, file])
    return device.strip()


def refresh(device: str) -> None:
    """Let the loop device take the size that its file has now."""
    command.run(["losetup", "--set-capacity", device])


def remove(device: str) -> None:
    """Remove a loop device, and wait until it is gone.

    :raises LeftoverDevice: something has it open; it goes when that ends.
    """
    file = backing_file(device)
    seen = block.traces(device)[0]
    command.run(["losetup", "--detach", device])

    def gone() -> bool:
        return not seen.is_there() or backing_file(device) != file

    if not block.wait(gone, timeout=_GONE_TIMEOUT):
        raise LeftoverDevice(
            f"{device} of {file} is still open somewhere; it goes when that ends.", resource=device
        )
