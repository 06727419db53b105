"""The parameters of the classes of Kubernetes: for volumes, their attributes and snapshots."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from cinderlib.csi import arguments
from cinderlib.csi.capabilities import FILESYSTEMS
from cinderlib.errors import InvalidInput
from cinderlib.value_checks import shown

#: Sidecars add parameters with this prefix: names of claims and the like.
_OF_ORCHESTRATOR = "csi.storage.k8s.io/"
_KNOWN = ["backend", "pool", "type", "mkfsOptions"]
_MUTABLE = ["type"]
_SPECS, _QOS = "spec.", "qos."
MKFS_OPTIONS = "mkfsOptions"
FILESYSTEM = "csi.storage.k8s.io/fstype"


@dataclasses.dataclass(frozen=True, slots=True)
class Specs:
    """The specs of a volume in a class: a volume type, or own specs.

    :ivar type: the name of a volume type.
    :ivar extra_specs: as of a Cinder volume type.
    :ivar qos_specs: as of Cinder QoS specs.
    :ivar encryption: of a volume type or of the source of a copy.
    """

    type: str | None = None
    extra_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    qos_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    encryption: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.type or self.extra_specs or self.qos_specs)


@dataclasses.dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a new volume.

    :ivar backend: its name; ``None`` for the only one, or that of the source.
    :ivar pool: of the backend; ``None`` for its first one.
    :ivar specs: of the volume.
    :ivar mkfs_options: more options for mkfs on the node.
    """

    backend: str | None = None
    pool: str | None = None
    specs: Specs = Specs()
    mkfs_options: str = ""


def of_volume(given: Mapping[str, str]) -> Parameters:
    """Check the parameters of a StorageClass.

    :raises InvalidInput: one is unknown or has an invalid value.
    """
    own, specs = _specs(given, _KNOWN)
    filesystem = given.get(FILESYSTEM)
    if filesystem and filesystem not in FILESYSTEMS:
        raise InvalidInput(
            f"The filesystem {shown(filesystem)} is not supported. Choose one of:"
            f" {', '.join(FILESYSTEMS)}."
        )
    return Parameters(
        backend=own.get("backend"),
        pool=own.get("pool"),
        specs=specs,
        mkfs_options=own.get(MKFS_OPTIONS, ""),
    )


def of_attributes(given: Mapping[str, str]) -> Specs:
    """Check the parameters of a VolumeAttributesClass.

    :raises InvalidInput: one is unknown or has an invalid value.
    """
    return _specs(given, _MUTABLE)[1]


def _specs(given: Mapping[str, str], known: list[str]) -> tuple[dict[str, str], Specs]:
    """The parameters with the known names, and the specs."""
    own = {key: value for key, value in given.items() if not key.startswith(_OF_ORCHESTRATOR)}
    extra = {key.removeprefix(_SPECS): own.pop(key) for key in list(own) if key.startswith(_SPECS)}
    qos = {key.removeprefix(_QOS): own.pop(key) for key in list(own) if key.startswith(_QOS)}
    arguments.misspelt("parameter", own, known)
    for key, value in own.items():
        if not value:
            raise InvalidInput(f"The parameter {key} is empty.")
    if "type" in own and (extra or qos):
        raise InvalidInput(
            f"Specify either the parameter type or parameters with {_SPECS} and {_QOS}, not both."
        )
    return own, Specs(own.get("type"), extra, qos)


def of_snapshot(given: Mapping[str, str]) -> None:
    """Check the parameters of a VolumeSnapshotClass: there are none.

    :raises InvalidInput: there is one.
    """
    for key in given:
        if not key.startswith(_OF_ORCHESTRATOR):
            raise InvalidInput(f"Snapshots have no parameters; remove {shown(key)}.")
