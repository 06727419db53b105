"""The folder of the volumes: names to files, and errors that say what was to be done."""

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
    """Report what the system refuses in the block together with what was to be done.

    :raises cinder.exception.VolumeDriverException: for every ``OSError``.
    """
    try:
        yield
    except OSError as error:
        about = f" ({error.filename})" if error.filename and error.filename not in what else ""
        raise exception.VolumeDriverException(f"Cannot {what}: {error.strerror}{about}") from error


class Folder:
    """The folder, as the driver sees it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        """The file of that name.

        :raises cinder.exception.InvalidParameterValue: it would not be one in this folder.
        """
        if not name or name.startswith(".") or "/" in name or "\0" in name:
            raise exception.InvalidParameterValue(
                err=f"{name!r} cannot be the name of a file in {self.root}"
            )
        return self.root / name

    def free_path(self, name: str, what: str) -> Path:
        """The file of that name, which no loop device uses.

        :param what: would be done with it; for the message.
        :raises cinder.exception.VolumeIsBusy: one does.
        """
        path = self.path(name)
        devices = loop.devices_on(path)
        if devices:
            raise exception.VolumeIsBusy(
                f"{path} cannot be {what} while {', '.join(devices)} uses it: detach it first"
            )
        return path

    def files(self) -> Iterator[tuple[str, int]]:
        """Names and sizes in bytes of all volumes and snapshots."""
        with os.scandir(self.root) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # deleted while we look
                    if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                        yield entry.name, entry.stat().st_size

    def volumes(self) -> Iterator[tuple[str, int]]:
        """Names and sizes in bytes of all files but snapshots."""
        return (file for file in self.files() if not file[0].startswith("snapshot-"))

    def snapshots(self) -> Iterator[tuple[str, int]]:
        """Names and sizes in bytes of all snapshots."""
        return (file for file in self.files() if file[0].startswith("snapshot-"))
