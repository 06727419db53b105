"""Files with facts that are the same until the packages or commands of this host change.

Cinder takes more than a second to import, and its drivers several. The facts are valid for one
state of Cinder, cinderlib, Python's packages and the commands of this host: the missing
requirements of drivers depend on them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from cinderlib.drivers import cinder_sources
from cinderlib.locking import state_folder

#: Files of each kind that are kept: programs have different search paths for commands and packages.
_KEPT = 4

_T = TypeVar("_T")


def load(kind: str, type_: type[_T]) -> _T | None:
    """The stored facts; ``None`` if there are none for the present state of this host.

    :param kind: the beginning of the file's name.
    """
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path(kind).read_bytes(), type=type_)
    return None


def save(kind: str, facts: object) -> None:
    """Store facts, and remove old ones of that kind. Nothing happens if the folder cannot be
    written."""
    target = path(kind)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        state_folder.make(target.parent)
        others = [each for each in target.parent.glob(f"{kind}-*") if each != target]
        for old in sorted(others, key=lambda each: each.stat().st_mtime)[: -_KEPT + 1]:
            old.unlink()
        try:
            draft.write_bytes(msgspec.json.encode(facts))
            draft.rename(target)
        finally:
            draft.unlink(missing_ok=True)


def path(kind: str) -> Path:
    """The path of a file for the present state of this host."""
    return _folder() / f"{kind}-{_fingerprint()}.json"


def _folder() -> Path:
    if os.geteuid() == 0:
        return Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "cinderlib"
    import platformdirs

    return platformdirs.user_cache_path("cinderlib")


def _fingerprint() -> str:
    """Changes if anything changes on which the facts depend."""
    facts = [sys.version, *map(repr, _states())]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def _states() -> Iterator[tuple[str, int, int]]:
    """The folders of packages and commands, and the sources of drivers: path, time, size."""
    folders = [*sys.path, *os.environ.get("PATH", os.defpath).split(os.pathsep)]
    own = Path(__file__).parent
    for each in (
        *map(Path, filter(None, folders)),
        *sorted((cinder_sources.folder() / "volume" / "drivers").rglob("*.py")),
        *sorted(own.rglob("*.py")),
    ):
        with contextlib.suppress(OSError):
            found = each.stat()
            yield str(each), found.st_mtime_ns, found.st_size
