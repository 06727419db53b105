"""Folders that are like control groups, for hosts that have none with ``io.max``."""

from __future__ import annotations

import os
from pathlib import Path

from cinderlib.node import cgroups

UNLIMITED = "rbps=max wbps=max riops=max wiops=max"


def accept(folder: Path) -> None:
    """Let this process accept all folders of the filesystem of a folder as control groups."""
    device = os.stat(folder).st_dev
    mounts = folder / "mounts"
    mounts.write_text(
        "31 23 0:9999 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n"
        f"32 23 {os.major(device)}:{os.minor(device)} / / rw - cgroup2 cgroup2 rw\n"
    )
    cgroups.MOUNTS = mounts


def make(folder: Path) -> Path:
    """Create a folder like a control group without limits, if it does not exist. Its ``io.max`` has
    the line that is written last."""
    folder.mkdir(exist_ok=True)
    (folder / "io.max").write_text("")
    return folder


def limits(group: Path) -> str:
    """The limits that were set last, without the number of the device."""
    file = group / "io.max"
    line = file.read_text().partition("\n")[0] if file.exists() else ""
    return line.partition(" ")[2]
