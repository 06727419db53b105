"""Keeps the list of drivers between runs: importing all drivers takes seconds.

The list is read from the drivers again if Cinder, cinderlib, Python's packages or the commands of
this host changed: the missing requirements of drivers depend on them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from cinderlib.drivers import names
from cinderlib.locking import state_folder

_PREFIX = "drivers-"
#: Catalogs that are kept: programs have different search paths for commands and packages.
_KEPT = 4

Entry = dict[str, Any]


class Catalog(msgspec.Struct):
    """The drivers. Most have the same options, so each option is stored once.

    :ivar options: the options, as JSON.
    :ivar drivers: the drivers; ``driver_options`` has the numbers of the options.
    """

    options: list[msgspec.Raw]
    drivers: dict[str, Entry]

    @classmethod
    def of(cls, listing: dict[str, Entry]) -> Catalog:
        """The catalog for a listing."""
        numbers: dict[bytes, int] = {}
        drivers = {
            name: {
                **entry,
                "driver_options": [
                    numbers.setdefault(msgspec.json.encode(option), len(numbers))
                    for option in entry["driver_options"]
                ],
            }
            for name, entry in listing.items()
        }
        return cls([msgspec.Raw(text) for text in numbers], drivers)

    def listing(self, *, options: bool) -> dict[str, Entry]:
        """The drivers by name; each has a copy of the options.

        :param options: whether to include ``driver_options``.
        """
        found = {}
        for name, entry in self.drivers.items():
            found[name] = {key: value for key, value in entry.items() if key != "driver_options"}
            if options:
                found[name]["driver_options"] = [
                    msgspec.json.decode(self.options[number]) for number in entry["driver_options"]
                ]
        return found


def load() -> Catalog | None:
    """The stored catalog; ``None`` if there is none for the present state of this host."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(_path().read_bytes(), type=Catalog)
    return None


def save(catalog: Catalog) -> None:
    """Store a catalog, and remove old ones. Nothing happens if the folder cannot be written."""
    path = _path()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        state_folder.make(path.parent)
        earlier = sorted(path.parent.glob(f"{_PREFIX}*"), key=lambda each: each.stat().st_mtime)
        for old in earlier[: -_KEPT + 1]:
            old.unlink()
        try:
            draft.write_bytes(msgspec.json.encode(catalog))
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)


def _path() -> Path:
    return _folder() / f"{_PREFIX}{_fingerprint()}.json"


def _folder() -> Path:
    if os.geteuid() == 0:
        return Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "cinderlib"
    import platformdirs

    return platformdirs.user_cache_path("cinderlib")


def _fingerprint() -> str:
    """Changes if anything changes on which the list depends."""
    facts = [sys.version, *map(repr, _states())]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def _states() -> Iterator[tuple[str, int, int]]:
    """The folders of packages and commands, and the sources of drivers: path, time, size."""
    folders = [*sys.path, *os.environ.get("PATH", os.defpath).split(os.pathsep)]
    own = Path(__file__).parent
    for path in (
        *map(Path, filter(None, folders)),
        *sorted((names.cinder_folder() / "volume" / "drivers").rglob("*.py")),
        *sorted(own.rglob("*.py")),
    ):
        with contextlib.suppress(OSError):
            found = path.stat()
            yield str(path), found.st_mtime_ns, found.st_size
