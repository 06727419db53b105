"""Volume types: the shared ones, and the own specs of a volume, in the form of Cinder's types."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from cinderlib.records import TypeSpecs, VolumeRecord


@dataclasses.dataclass(frozen=True, slots=True)
class QoSSpecs:
    """Limits, and who enforces them: the storage (consumer ``'back-end'``), the host
    (``'front-end'``) or ``'both'``."""

    id: str
    specs: Mapping[str, str]
    consumer: str = "back-end"


@dataclasses.dataclass(frozen=True, slots=True)
class VolumeType:
    """A type of volumes. A volume with own specs has an own type, with the volume's ID."""

    id: str
    name: str
    extra_specs: Mapping[str, str]
    qos_specs: QoSSpecs | None
    is_public: bool = True
    description: str = ""
    encryption: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def qos_specs_id(self) -> str | None:
        """The ID of the QoS specs, if there are any."""
        return self.qos_specs.id if self.qos_specs else None

    @classmethod
    def of(cls, volume: VolumeRecord) -> VolumeType | None:
        """The type of a volume, or ``None`` if it has no specs."""
        if volume.volume_type_id is None:
            return None
        return of_specs(TypeSpecs.of(volume))


def of_specs(found: TypeSpecs) -> VolumeType:
    """The object for the specs of a type."""
    limits = dict(found.qos_specs)
    consumer = limits.pop("consumer", "back-end")
    qos = QoSSpecs(found.id, limits, consumer) if found.qos_specs else None
    return VolumeType(
        id=found.id,
        name=found.name or found.id,
        extra_specs=dict(found.extra_specs),
        qos_specs=qos,
        description=found.description,
        encryption=dict(found.encryption),
    )
