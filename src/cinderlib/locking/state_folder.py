"""The folders for data that is neither in the store nor on the storage."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path
from typing import Literal

from cinderlib import errors, value_checks


class Folders:
    """The folders in the state folder. They are created on first use, private to their owner.

    :param state_path: by default ``/var/lib/cinderlib`` for root, and for other users the state
        folder of the XDG base directory specification.
    :param locks_path: by default the folder of :func:`host_locks`.
    """

    def __init__(
        self,
        state_path: str | os.PathLike[str] | None,
        locks_path: str | os.PathLike[str] | None,
    ) -> None:
        self._state = default() if state_path is None else _absolute(state_path, "state_path")
        self._locks = None if locks_path is None else _absolute(locks_path, "file_locks_path")
        self._chosen = state_path is not None

    @property
    def path(self) -> Path:
        """The state folder, which may not exist."""
        return self._state

    @property
    def drivers(self) -> str:
        """The folder for files of Cinder's drivers."""
        return _created(self.drivers_path)

    @property
    def drivers_path(self) -> Path:
        """The same folder, which may not exist."""
        return self._state / "drivers"

    @property
    def locks(self) -> str:
        """Lock files of drivers, and of stores that have no locks themselves."""
        return _created(self.locks_path)

    @property
    def locks_path(self) -> Path:
        """The same folder. Only the folder that all programs of this host share is created here."""
        return self._locks or host_locks(self._state / "locks")

    @property
    def node(self) -> str:
        """The folder for the state of attachments on this host."""
        return str(self._state / "node")


def _absolute(path: str | os.PathLike[str], argument: str) -> Path:
    return Path(value_checks.check_path(path, argument)).absolute()


def host_locks(otherwise: Path, *, create: bool = False) -> Path:
    """The folder for locks that all programs of this user on this host share. For root this is
    ``/var/lib/cinderlib/locks``, for other users a folder below the home directory of the account.
    Arguments and environment variables do not change it: two programs with different values would
    not exclude each other.

    :param otherwise: used if that folder cannot be used.
    :param create: whether the folder is created if it is missing.
    """
    folder = _host_locks()
    if folder is None:
        return otherwise
    if create:
        with contextlib.suppress(OSError):
            make(folder)
    existing = next(each for each in (folder, *folder.parents) if os.path.exists(each))
    if create and existing != folder:
        return otherwise
    return folder if os.access(existing, os.W_OK | os.X_OK) else otherwise


def _host_locks() -> Path | None:
    if os.geteuid() == 0:
        return Path("/var/lib/cinderlib/locks")
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return None
    return Path(home) / ".local/state/cinderlib/locks" if os.path.isabs(home) else None


def default() -> Path:
    """The default state folder, which may not exist.

    :raises ConfigurationError: this user has no home folder.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/cinderlib")
    folder = user_folder("state")
    if folder is None:
        raise errors.ConfigurationError(
            f"The user with the ID {os.geteuid()} has no home folder (HOME is not set, and the user"
            " is unknown to this host): choose a folder with state_path, or set HOME"
        )
    return folder


def user_folder(kind: Literal["config", "state"]) -> Path | None:
    """This user's folder of the XDG base directory specification; ``None`` without a home
    folder."""
    import platformdirs

    paths = {"config": platformdirs.user_config_path, "state": platformdirs.user_state_path}
    with contextlib.suppress(RuntimeError):  # raised if the user has no home folder
        found = paths[kind]("cinderlib")
        if found.is_absolute():
            return found
    # The specification requires that a variable with a relative path is ignored: it would mean
    # another folder in each working directory. Without a home folder, "~" itself is relative.
    home = Path(os.path.expanduser("~"))
    return home / _BELOW_HOME[kind] / "cinderlib" if home.is_absolute() else None


_BELOW_HOME = {"config": ".config", "state": ".local/state"}


def make(path: Path, mode: int = 0o700) -> None:
    """Create a folder if it is missing. Regardless of the umask, only its owner can write to it and
    to the parent folders that are created with it. Other users can pass through these parents,
    because they may need access to other folders in them.

    :param mode: its permissions; by default it is private to its owner.
    :raises OSError: it cannot be created.
    """
    for parent in reversed(path.parents):
        if not parent.exists():
            parent.mkdir(mode=0o755, exist_ok=True)
    path.mkdir(mode=mode, exist_ok=True)


def _created(path: Path) -> str:
    try:
        make(path)
    except OSError as exc:
        raise errors.ConfigurationError(
            f"Cannot create the folder {path} ({exc.strerror}); specify another with state_path or"
            " file_locks_path"
        ) from exc
    return str(path)
