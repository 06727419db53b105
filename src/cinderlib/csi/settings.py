"""The settings of the plug-in: ``[csi]`` of the configuration."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Literal

from cinderlib.csi.sealing import Seal
from cinderlib.errors import ConfigurationError
from cinderlib.value_checks import shown

Mode = Literal["controller", "node", "all"]

DEFAULT_NAME = "csi.cinderlib"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_SEGMENT = re.compile(r"([a-z0-9A-Z.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a plug-in.

    :ivar name: of the driver in the orchestrator (``provisioner`` of a StorageClass).
    :ivar mode: which services run: for the storage, for a host that uses volumes, or both.
    :ivar seal: encrypts what controllers send to nodes.
    :ivar max_volumes: how many volumes a node may have; 0 for no limit.
    :ivar protocols: the protocols that a node uses (``'iscsi'``, ...); empty for all.
    :ivar topology: the place of this node, as labels (``{'zone': 'a'}``).
    :ivar backend_topology: backend -> the places whose nodes reach it; others are reached from
        everywhere.
    :ivar threads: how many calls run at the same time.
    :ivar stop_timeout: seconds that running calls have when the plug-in stops.
    """

    name: str
    mode: Mode
    seal: Seal
    max_volumes: int = 0
    protocols: tuple[str, ...] = ()
    topology: Mapping[str, str] = dataclasses.field(default_factory=dict)
    backend_topology: Mapping[str, tuple[Mapping[str, str], ...]] = dataclasses.field(
        default_factory=dict
    )
    threads: int = 32
    stop_timeout: float = 30.0

    @property
    def has_topology(self) -> bool:
        """Whether volumes are reachable only from some nodes."""
        return bool(self.topology or self.backend_topology)


def read(table: Mapping[str, Any], mode: Mode) -> Settings:
    """The settings in a configuration.

    :param table: ``[csi]``.
    :raises ConfigurationError: a value is not valid.
    """
    name = table.get("name", DEFAULT_NAME)
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"[csi] name cannot be {shown(name)}: it has 1 to 63 letters, digits or characters of"
            " '-_.', and begins and ends with a letter or digit"
        )
    if "keys" not in table:
        raise ConfigurationError(
            "[csi] keys is missing: controllers encrypt connections for nodes. Create a key with"
            " `openssl rand -base64 32 > csi.key`, and set keys = { file = 'csi.key' }"
        )
    for option, least in (("max_volumes", 0), ("threads", 1), ("stop_timeout", 0)):
        if table.get(option, least) < least:
            raise ConfigurationError(f"[csi] {option} must be at least {least}")
    return Settings(
        name=name,
        mode=mode,
        seal=Seal(table["keys"]),
        max_volumes=table.get("max_volumes", 0),
        protocols=tuple(table.get("protocols", ())),
        topology=_labels(name, table.get("topology", {}), "topology"),
        backend_topology={
            backend: tuple(_labels(name, place, f"backend_topology.{backend}") for place in places)
            for backend, places in table.get("backend_topology", {}).items()
        },
        threads=table.get("threads", 32),
        stop_timeout=table.get("stop_timeout", 30.0),
    )


def _labels(driver: str, place: Mapping[str, str], option: str) -> dict[str, str]:
    """Labels with the driver's name as the prefix of those without a prefix."""
    found = {}
    for key, value in place.items():
        if not _SEGMENT.fullmatch(key) or not _SEGMENT.fullmatch(value) or "/" in value:
            raise ConfigurationError(f"[csi] {option}: {key} = {value!r} is not a valid label")
        found[key if "/" in key else f"{driver}/{key}"] = value
    return found
