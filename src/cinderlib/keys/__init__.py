"""Where the keys of encrypted volumes are kept: in the records of the volumes, or outside the
store, in files or in a key manager. A record has only a reference to a key outside the store.

A reference is the name of the place and the ID of the key there: ``file:<ID>``,
``castellan:<ID>``. Each volume has its own key, also if copies have the same value. So the key can
be deleted with its volume.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from cinderlib import value_checks
from cinderlib.errors import ConfigurationError, KeyManagerError
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    from cinderlib.keys.base import KeyManager

T = TypeVar("T")

_STORE, _FILE, _CASTELLAN = "store", "file", "castellan"
_PLACES = (_STORE, _FILE, _CASTELLAN)
_UNCHANGED = " Nothing changed"
#: The settings that each place outside the store needs.
_SETTINGS = {_FILE: "folder", _CASTELLAN: "castellan_config"}


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeKeys:
    """The places for the keys of volumes.

    :ivar place: of the keys of new volumes: ``'store'``, ``'file'`` or ``'castellan'``.
    :ivar managers: the places outside the store, by name.
    """

    place: str
    managers: Mapping[str, KeyManager]

    @property
    def are_outside(self) -> bool:
        """Whether the keys of new volumes are kept outside the store."""
        return self.place != _STORE

    def reserve(self, volume_id: str) -> str:
        """A reference for the key of a new volume, to record before :meth:`put`.

        :meth:`delete` deletes the key by this reference, also if :meth:`put` was interrupted.

        :raises KeyManagerError: the place cannot be used. Nothing changed.
        """

        def reserve(manager: KeyManager) -> str:
            return manager.reserve(volume_id)

        return f"{self.place}:{self._call('kept in', self.place, volume_id, reserve, _UNCHANGED)}"

    def put(self, reference: str, volume_id: str, key: str) -> str:
        """Keep the key of a new volume.

        :param reference: a reserved one.
        :param key: in hexadecimal digits.
        :returns: the final reference.
        :raises KeyManagerError: the key was not kept.
        """
        place, _, id = reference.partition(":")
        kept = self._call("kept in", place, volume_id, lambda manager: manager.put(id, key))
        return f"{place}:{kept}"

    def get(self, reference: str, volume_id: str) -> str:
        """The key of a volume, in hexadecimal digits.

        :raises KeyManagerError: it cannot be read. Nothing changed.
        """
        place, _, id = reference.partition(":")
        return self._call("read from", place, volume_id, lambda each: each.get(id), _UNCHANGED)

    def delete(self, reference: str, volume_id: str) -> None:
        """Delete the key of a volume, if it exists.

        :raises KeyManagerError: it can still exist.
        """
        place, _, id = reference.partition(":")
        self._call("deleted from", place, volume_id, lambda manager: manager.delete(id))

    def _call(
        self,
        task: str,
        place: str,
        volume_id: str,
        call: Callable[[KeyManager], T],
        end: str = "",
    ) -> T:
        """Call a place for keys.

        :param task: for messages, after "cannot be".
        :param end: the end of messages.
        """
        manager = self.managers.get(place)
        if manager is None:
            setting = _SETTINGS.get(place)
            raise KeyManagerError(
                f"The key of encrypted volume {volume_id} cannot be {task} {shown(place)}: this"
                " place is not configured. "
                + (
                    f"Set {setting} in [volume_keys]"
                    if setting
                    else f"This version knows {', '.join(_PLACES)}"
                ),
                resource=volume_id,
                retryable=False,
            )
        try:
            return call(manager)
        except KeyManagerError as exc:
            end = end if str(exc).endswith("?") or not end else f".{end}"
            raise KeyManagerError(
                f"The key of encrypted volume {volume_id} cannot be {task} {manager}: {exc}{end}",
                resource=volume_id,
                retryable=exc.retryable,
            ) from exc.__cause__


def configured(settings: Mapping[str, Any] | None) -> VolumeKeys:
    """The places for keys that a configuration describes.

    :param settings: ``manager`` (``'store'``, the default, ``'file'`` or ``'castellan'``): the
        place for the keys of new volumes; ``folder``: the folder for keys in files;
        ``castellan_config``: the configuration file of castellan. The keys of existing volumes are
        read from all configured places.
    :raises ConfigurationError: a setting is unknown, missing or not valid.
    :raises MissingDependency: castellan is not installed.
    """
    given = {} if settings is None else settings
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"volume_keys must be a mapping, not {type(given).__name__}")
    known = ("manager", *_SETTINGS.values())
    unknown = [str(name) for name in given if name not in known]
    if unknown:
        raise ConfigurationError(
            f"volume_keys has no setting {shown(unknown[0])}; known: {', '.join(known)}"
        )
    place = given.get("manager", _STORE)
    if place not in _PLACES:
        raise ConfigurationError(
            f"manager in volume_keys must be one of {', '.join(_PLACES)}, not {shown(place)}"
        )
    if place in _SETTINGS and not given.get(_SETTINGS[place]):
        raise ConfigurationError(f"volume_keys with the manager {place} needs {_SETTINGS[place]}")
    managers: dict[str, KeyManager] = {}
    if given.get("folder"):
        from cinderlib.keys.files import FileKeys

        managers[_FILE] = FileKeys(_path(given, "folder"))
    if given.get("castellan_config"):
        from cinderlib.keys.castellan import CastellanKeys

        managers[_CASTELLAN] = CastellanKeys(_path(given, "castellan_config"))
    return VolumeKeys(place, managers)


def _path(given: Mapping[str, Any], name: str) -> str:
    value = given[name]
    path = value_checks.check_text(
        os.fspath(value) if isinstance(value, os.PathLike) else value, name
    )
    if not os.path.isabs(path):
        raise ConfigurationError(
            f"{name} in volume_keys must be an absolute path, not {shown(path)}"
        )
    return path
