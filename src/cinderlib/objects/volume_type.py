"""The extra specs and QoS specs of a volume in the form of Cinder's volume type."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from cinderlib.records import VolumeRecord


@dataclasses.dataclass(frozen=True, slots=True)
class QoSSpecs:
    """Limits that the storage enforces (consumer ``'back-end'``)."""

    id: str
    specs: Mapping[str, str]
    consumer: str = "back-end"


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeType:
    """The type of one volume; each volume has its own type, with the volume's ID."""

    id: str
    name: str
    extra_specs: Mapping[str, str]
    qos_specs: QoSSpecs | None
    is_public: bool = True

    @property
    def qos_specs_id(self) -> str | None:
        """The ID of the QoS specs, if there are any."""
        return self.qos_specs.id if self.qos_specs else None

    @classmethod
    def of(cls, volume: VolumeRecord) -> VolumeType | None:
        """The type of a volume, or ``None`` if it has no specs."""
        if volume.volume_type_id is None:
            return None
        id = volume.volume_type_id
        qos = QoSSpecs(id, dict(volume.qos_specs)) if volume.qos_specs else None
        return cls(id, id, dict(volume.extra_specs), qos)
