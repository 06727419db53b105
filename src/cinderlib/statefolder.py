"""Where the library keeps what is neither in the store nor on the storage."""

from __future__ import annotations

import os
from pathlib import Path

from cinderlib import errors


class Folders:
    """The folders below the state folder; made private to the owner when they are needed.

    :param state_path: by default ``/var/lib/cinderlib`` for root, and for others the folder that
        the XDG base directory specification gives for state.
    :param locks_path: by default below the state folder.
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
        """Lock files."""
        return _made(self._locks or self._state / "locks")

    @property
    def node(self) -> str:
        """What is attached on this host."""
        return str(self._state / "node")


def _default() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/cinderlib")
    import platformdirs

    return platformdirs.user_state_path("cinderlib")


def _made(path: Path) -> str:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise errors.ConfigurationError(
            f"The folder {path} cannot be made ({exc.strerror}); name another with state_path or"
            " file_locks_path"
        ) from exc
    return str(path)
