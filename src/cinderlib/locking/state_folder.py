"""Where the library keeps what is neither in the store nor on the storage."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

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
        self._state = Path(state_path).absolute() if state_path is not None else _default()
        self._locks = Path(locks_path).absolute() if locks_path is not None else None
        self._chosen = state_path is not None

    @property
    def path(self) -> Path:
        """The state folder, made or not."""
        return self._state

    @property
    def drivers(self) -> str:
        """What Cinder's drivers keep."""
        return _made(self._state / "drivers")

    @property
    def locks(self) -> str:
        """Lock files of drivers, and of stores that keep no locks of their own."""
        return _made(self._locks or host_locks(self._state / "locks"))

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


def _default() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/cinderlib")
    import platformdirs

    return platformdirs.user_state_path("cinderlib")


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
