"""The state folder, and leftovers of interrupted attachments."""

from __future__ import annotations

import errno
import os
import shlex
import stat
from collections.abc import Iterator

from cinderlib.errors import CinderlibError
from cinderlib.node import interrupted
from cinderlib.node.base import HostSettings
from cinderlib.node.checks.finding import Finding


def check(settings: HostSettings, *, is_root: bool) -> Iterator[Finding]:
    """Find problems with the state folder, and leftovers to clean up."""
    folder = settings.state.path
    try:
        found = list(interrupted.leftovers(settings))
        # The first attach creates it.
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not existing.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(existing))
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(existing))
        mode = folder.stat().st_mode if existing == folder else 0
        free = os.statvfs(existing)
    except (CinderlibError, OSError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        yield Finding(
            check="state.folder",
            severity="error",
            problem=f"the state folder {folder} cannot be used: {reason}",
            advice="Specify another folder as state_path.",
            meaning="no volume can be attached or detached",
        )
        return
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        yield Finding(
            check="state.folder",
            severity="error",
            problem=f"every user can write to the folder {folder}",
            meaning="other users can control which volumes root attaches and detaches",
            commands=(f"chmod 755 {shlex.quote(str(folder))}",),
        )
    if not free.f_bavail or (free.f_files and not free.f_favail):
        yield Finding(
            check="state.folder",
            severity="error",
            problem=f"the filesystem of {folder} is full",
            meaning="no volume can be attached, because its state could not be recorded",
        )
    command = "cinderlib node cleanup --yes"
    for leftover in found:
        used = f", used by {', '.join(leftover.users)}" if leftover.users else ""
        can_repair = is_root and not used
        yield Finding(
            check="state.leftovers",
            severity="warning",
            problem=f"{leftover.operation} was interrupted and left "
            f"{leftover.device or leftover.key}{used}",
            meaning="the volume cannot be unmapped safely while its device exists",
            commands=(command,) if can_repair else (),
            advice="First stop its users." if used else "" if can_repair else f"Run `{command}`.",
        )
