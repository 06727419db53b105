"""The paths that an orchestrator names: create, check and remove them without a surprise."""

from __future__ import annotations

import contextlib
import os
import stat

from cinderlib.errors import InvalidInput, InvalidState


def make_folder(path: str) -> None:
    """Create a folder to mount on, if it does not exist. Its parent must exist.

    :raises InvalidInput: the path is something else.
    """
    try:
        os.mkdir(path, 0o750)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise InvalidInput(f"{path} exists and is not a folder; nothing changed.") from None
    except OSError as exc:
        raise InvalidInput(f"The folder {path} cannot be created: {exc.strerror}.") from exc


def make_file(path: str) -> None:
    """Create an empty file to mount a device on, if it does not exist.

    :raises InvalidInput: the path is something else.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640))
    except FileExistsError:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size:
            raise InvalidInput(
                f"{path} exists and is not an empty file; nothing changed."
            ) from None
    except OSError as exc:
        raise InvalidInput(f"The file {path} cannot be created: {exc.strerror}.") from exc


def remove(path: str) -> None:
    """Remove the folder or file that a volume was mounted on, if it exists and is empty.

    :raises InvalidState: it has content, which does not belong to the volume.
    """
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                raise
            except OSError as exc:
                raise InvalidState(
                    f"{path} is not mounted, and the folder cannot be removed: {exc.strerror}."
                ) from exc
        elif stat.S_ISREG(status.st_mode) and status.st_size == 0:
            os.unlink(path)
        else:
            raise InvalidState(f"{path} is neither a mount nor an empty file; nothing changed.")
