"""The group that can read and write a volume: the ``fsGroup`` of a pod.

Disk filesystems have no mount option for it, so the group of the files is changed. Workloads can
change the files meanwhile: links are never followed.
"""

from __future__ import annotations

import contextlib
import os
import stat

from cinderlib.errors import NodeError

_OF_FILES = 0o660
#: New files get the group of their folder.
_OF_FOLDERS = stat.S_ISGID | 0o770


def give(path: str, group: int) -> None:
    """Let a group read and write everything below a folder, including new files.

    If the folder itself has the group, nothing changes, because it is changed last.

    :param path: where the filesystem is mounted for writing.
    """
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if _has(os.fstat(root), group):
            return
        for _, folders, files, parent in os.fwalk(
            ".", topdown=False, follow_symlinks=False, dir_fd=root
        ):
            for name in (*files, *folders):
                # A workload can delete it meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    _change(name, parent, group)
        _change(".", root, group)
    except OSError as exc:
        raise NodeError(f"The group of {path} cannot be set to {group}: {exc.strerror}") from exc
    finally:
        os.close(root)


def _has(status: os.stat_result, group: int) -> bool:
    return status.st_gid == group and status.st_mode & _OF_FOLDERS == _OF_FOLDERS


def _change(name: str, parent: int, group: int) -> None:
    os.chown(name, -1, group, dir_fd=parent, follow_symlinks=False)
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISLNK(mode):
            wanted = stat.S_IMODE(mode) | (_OF_FOLDERS if stat.S_ISDIR(mode) else _OF_FILES)
            # The kernel changes no mode through such a handle, but through its link in /proc.
            os.chmod(f"/proc/self/fd/{handle}", wanted)
    finally:
        os.close(handle)
