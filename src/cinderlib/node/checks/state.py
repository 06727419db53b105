"""What cinderlib keeps of this host's attachments, and what interrupted ones left."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterator

from cinderlib.errors import CinderlibError
from cinderlib.node import lifecycle
from cinderlib.node.base import HostSettings
from cinderlib.node.checks.finding import Finding


def check(settings: HostSettings, *, is_root: bool) -> Iterator[Finding]:
    """What keeps this host from remembering what it attaches, and what is to be cleaned up."""
    folder = settings.state.path
    try:
        found = list(lifecycle.leftovers(settings))
        # The first attach creates it.
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))
        mode = folder.stat().st_mode if there == folder else 0
        free = os.statvfs(there)
    except (CinderlibError, OSError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        yield Finding(
            check="state.folder",
            severity="error",
            problem=f"the state folder {folder} cannot be used: {reason}",
            advice="Specify another folder as state_path.",
            meaning="nothing can be attached or detached",
        )
        return
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield Finding(
            check="state.folder",
            severity="error",
            problem=f"every user can write to the folder {folder}",
            meaning="what is attached and detached as root can be chosen by others",
            commands=(f"chmod 755 {shlex.quote(str(folder))}",),
        )
    if not free.f_bavail or (free.f_files and not free.f_favail):
        yield Finding(
            check="state.folder",
            severity="error",
            problem=f"the filesystem of {folder} is full",
            meaning="nothing can be attached, since what is done could not be recorded",
        )
    command = "cinderlib node cleanup --yes"
    for leftover in found:
        used = f", used by {', '.join(leftover.users)}" if leftover.users else ""
        mends = is_root and not used
        yield Finding(
            check="state.leftovers",
            severity="warning",
            problem=f"{leftover.operation} was interrupted and left "
            f"{leftover.device or leftover.key}{used}",
            meaning="the volume cannot be unmapped safely while its device is here",
            commands=(command,) if mends else (),
            advice="End what uses it first." if used else "" if mends else f"Run `{command}`.",
        )
