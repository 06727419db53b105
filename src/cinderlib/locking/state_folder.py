"""Where the library keeps what is neither in the store nor on the storage."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path
from typing import Literal

from cinderlib import errors


class Folders:
    """The folders below the state folder; made private to the owner when they are needed.

    :param state_path: by default ``/var/lib/cinderlib`` for root, and for others the folder that
        the XDG base directory specification gives for state.
    :param locks_path: by default the one of :func:`host_locks`.
    """

    def __init__(
        self,
        state_path: str | os.PathLike[str] | None,
        locks_path: str | os.PathLike[str] | None,
    ) -> None:
        self._state = Path(state_path).absolute() if state_path is not None else default()
        self._locks = Path(locks_path).absolute() if locks_path is not None else None
        self._chosen = state_path is not None

    @property
    def path(self) -> Path:
        """The state folder, made or not."""
        return self._state

    @property
    def drivers(self) -> str:
        """What Cinder's drivers keep."""
        return _made(self.drivers_path)

    @property
    def drivers_path(self) -> Path:
        """The same folder, created or not."""
        return self._state / "drivers"

    @property
    def locks(self) -> str:
        """Lock files of drivers, and of stores that keep no locks of their own."""
        return _made(self.locks_path)

    @property
    def locks_path(self) -> Path:
        """The same folder; created only if it is one that all programs of this host must find."""
        return self._locks or host_locks(self._state / "locks")

    @property
    def node(self) -> str:
        """What is attached on this host."""
        return str(self._state / "node")


def host_locks(otherwise: Path) -> Path:
    """The folder for locks that all programs of this user on this host must find: for root
    ``/var/lib/cinderlib/locks``, for others a folder below the home directory of their account.
    Neither an argument nor an environment variable changes it, since two programs that differ in
    one of them would not exclude each other.

    :param otherwise: used if that folder cannot be.
    """
    folder = _host_locks()
    if folder is None:
        return otherwise
    try:
        make(folder)
    except OSError:
        return otherwise
    return folder if os.access(folder, os.W_OK | os.X_OK) else otherwise


def _host_locks() -> Path | None:
    if os.geteuid() == 0:
        return Path("/var/lib/cinderlib/locks")
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return None
    return Path(home) / ".local/state/cinderlib/locks" if os.path.isabs(home) else None


def default() -> Path:
    """The state folder that is used unless another is chosen; created or not.

    :raises ConfigurationError: this user has none.
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
    """This user's folder by the XDG base directory specification; ``None`` without a home."""
    import platformdirs

    paths = {"config": platformdirs.user_config_path, "state": platformdirs.user_state_path}
    with contextlib.suppress(RuntimeError):  # what it says where there is no home
        found = paths[kind]("cinderlib")
        if found.is_absolute():
            return found
    # The specification wants a variable with a relative path ignored: it would mean another folder
    # from each working directory. The home of a user without one is relative too: "~".
    home = Path(os.path.expanduser("~"))
    return home / _BELOW_HOME[kind] / "cinderlib" if home.is_absolute() else None


_BELOW_HOME = {"config": ".config", "state": ".local/state"}


def make(path: Path, mode: int = 0o700) -> None:
    """Make a folder, if it is missing; whatever the umask is, only its owner can write to it and to
    the folders above it that are made for it. Those can be passed through by others, who may be
    meant to reach something beside it.

    :param mode: its permissions; by default it is private to its owner.
    :raises OSError: it cannot be made.
    """
    for parent in reversed(path.parents):
        if not parent.exists():
            parent.mkdir(mode=0o755, exist_ok=True)
    path.mkdir(mode=mode, exist_ok=True)


def _made(path: Path) -> str:
    try:
        make(path)
    except OSError as exc:
        raise errors.ConfigurationError(
            f"The folder {path} cannot be made ({exc.strerror}); name another with state_path or"
            " file_locks_path"
        ) from exc
    return str(path)
