"""The folder of the volumes: paths of the files, and errors that describe the failed task."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from cinder import exception

from cinderlib.drivers.file import loop

GIB = 1 << 30


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Convert system errors of the block to errors that describe the failed task.

    :param what: the task.
    :raises cinder.exception.VolumeDriverException: the block raised an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        about = f" ({error.filename})" if error.filename and error.filename not in what else ""
        raise exception.VolumeDriverException(f"Cannot {what}: {error.strerror}{about}") from error


class Folder:
    """The folder of the volumes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """The path of a file in this folder.

        :raises cinder.exception.InvalidParameterValue: the name is not valid for such a file.
        """
        if not name or name.startswith(".") or "/" in name or "\0" in name:
            raise exception.InvalidParameterValue(
                err=f"{name!r} cannot be the name of a file in {self.root}"
            )
        return self.root / name

    def free_path(self, name: str, what: str) -> Path:
        """The path of a file that no loop device uses.

        :param what: the task as a participle, for the message.
        :raises cinder.exception.VolumeIsBusy: a loop device uses it.
        """
        path = self.path(name)
        devices = loop.devices_on(path)
        if devices:
            raise exception.VolumeIsBusy(
                f"{path} cannot be {what} while it is attached to {', '.join(devices)}: detach it"
                " first"
            )
        return path

    def files(self) -> Iterator[tuple[str, int]]:
        """Names and sizes in bytes of all volumes and snapshots."""
        with os.scandir(self.root) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process deleted it
                    if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                        yield entry.name, entry.stat().st_size

    def volumes(self) -> Iterator[tuple[str, int]]:
        """Names and sizes in bytes of all files except snapshots."""
        return (file for file in self.files() if not file[0].startswith("snapshot-"))

    def snapshots(self) -> Iterator[tuple[str, int]]:
        """Names and sizes in bytes of all snapshots."""
        return (file for file in self.files() if file[0].startswith("snapshot-"))
