"""The specs of volumes: those of the StorageClass, and changes by a VolumeAttributesClass."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypedDict

import cinderlib as cl
from cinderlib import errors
from cinderlib.csi import arguments
from cinderlib.csi.controller import parameters
from cinderlib.csi.controller.context import Context
from cinderlib.csi.controller.parameters import Specs
from cinderlib.csi.wire import messages as m
from cinderlib.errors import InvalidInput
from cinderlib.records import TypeSpecs
from cinderlib.value_checks import shown


class Changes(TypedDict, total=False):
    """The specs of a volume as arguments of the library: a type, or own specs."""

    type: str
    extra_specs: Mapping[str, str]
    qos_specs: Mapping[str, str]


class Fields(Changes, total=False):
    """The specs of a new volume. Its encryption cannot be changed later."""

    encryption: Mapping[str, str]


def of_new(
    context: Context, given: Specs, mutable: Specs, source: cl.Volume | cl.Snapshot | None
) -> Fields:
    """The specs of a new volume. Those of the VolumeAttributesClass take precedence over those of
    the StorageClass, and these over the specs that a copy inherits. A copy is encrypted like its
    source.

    :raises InvalidInput: a type does not exist.
    """
    if mutable.type or (given.type and not mutable):
        return Fields(type=mutable.type or given.type or "")
    inherited = Specs() if source is None else _of_source(context, source)
    if given.type:
        found = _type(context, given.type)
        base = Specs(None, found.extra_specs, found.qos_specs, found.encryption)
    elif given:
        base = dataclasses.replace(given, encryption=inherited.encryption)
    elif mutable:
        base = inherited
    else:
        return Fields()
    specs = _changed(base, mutable)
    fields = Fields(extra_specs=specs["extra_specs"], qos_specs=specs["qos_specs"])
    if base.encryption:
        fields["encryption"] = base.encryption
    return fields


def _of_source(context: Context, source: cl.Volume | cl.Snapshot) -> Specs:
    volume = source if isinstance(source, cl.Volume) else context.volume(source.volume_id)
    return Specs(None, volume.extra_specs, volume.qos_specs, volume.encryption)


def _changed(base: Specs, mutable: Specs) -> Changes:
    """Own specs with the keys of a VolumeAttributesClass. Others stay, as CSI demands."""
    return Changes(
        extra_specs={**base.extra_specs, **mutable.extra_specs},
        qos_specs={**base.qos_specs, **mutable.qos_specs},
    )


def _type(context: Context, name: str) -> TypeSpecs:
    """A volume type.

    :raises InvalidInput: it does not exist.
    """
    try:
        return context.controller.type_specs(name)
    except errors.VolumeTypeNotFound:
        known = ", ".join(each.name for each in context.controller.types()) or "none"
        raise InvalidInput(f"Volume type {shown(name)} does not exist. Types: {known}.") from None


def check(context: Context, backend: cl.Backend, fields: Changes) -> None:
    """Refuse specs that nobody would enforce.

    :raises InvalidInput: a type does not exist, or the QoS specs have no effect.
    """
    qos = fields.get("qos_specs", {})
    if "type" in fields:
        qos = _type(context, fields["type"]).qos_specs
    if not qos:
        return
    if qos.get("consumer") == "front-end":
        raise InvalidInput(
            "QoS specs with the consumer 'front-end' have no effect: nodes do not limit volumes."
            " Use 'back-end', the default."
        )
    pools = backend.driver_stats()["pools"]
    if pools and all(pool.get("QoS_support") is False for pool in pools):
        raise InvalidInput(
            f"Backend {backend.id!r} does not support QoS specs: it reports QoS_support=False."
        )


def differences(volume: cl.Volume, fields: Changes) -> list[str]:
    """How the specs of a volume differ from the requested ones, for a message."""
    if "type" in fields:
        same = volume.record.type_name == fields["type"]
        return [] if same else [f"its type is {volume.record.type_name or 'none'}"]
    found = []
    if dict(volume.extra_specs) != fields.get("extra_specs", {}):
        found.append("its specs differ")
    if dict(volume.qos_specs) != fields.get("qos_specs", {}):
        found.append("its QoS specs differ")
    return found


def has_other_encryption(volume: cl.Volume, fields: Fields) -> bool:
    """Whether a volume without a source has another encryption than the requested one."""
    return "type" not in fields and dict(volume.encryption) != fields.get("encryption", {})


def modify(context: Context, request: Any) -> Any:
    """ControllerModifyVolume."""
    volume_id = arguments.required(request, "volume_id")
    mutable = parameters.of_attributes(arguments.text_map(request, "mutable_parameters"))
    if not mutable:
        raise InvalidInput("The field mutable_parameters is missing.")
    with context.pending.claim(volume_id):
        volume = context.volume(volume_id)
        fields = of_volume(volume, mutable)
        check(context, context.backend(volume.record.backend), fields)
        if differences(volume, fields) or volume.retype_target is not None or "type" in fields:
            _retype(volume, fields)
    return m.ControllerModifyVolumeResponse()


def of_volume(volume: cl.Volume, mutable: Specs) -> Changes:
    """The specs of an existing volume after a change."""
    if mutable.type:
        return Changes(type=mutable.type)
    return _changed(Specs(None, volume.extra_specs, volume.qos_specs), mutable)


def _retype(volume: cl.Volume, fields: Changes) -> None:
    try:
        volume.retype(**fields)
    except errors.Unsupported as exc:
        raise InvalidInput(
            f"Volume {volume.id} cannot have these parameters: {exc}", resource=volume
        ) from exc
