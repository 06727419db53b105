"""The specs of volumes: those of the StorageClass, and changes by a VolumeAttributesClass."""

from __future__ import annotations

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
from cinderlib.value_checks import shown


class Fields(TypedDict, total=False):
    """The specs of a volume as arguments of the library: a type, or own specs."""

    type: str
    extra_specs: Mapping[str, str]
    qos_specs: Mapping[str, str]


def of_new(
    context: Context, given: Specs, mutable: Specs, source: cl.Volume | cl.Snapshot | None
) -> Fields:
    """The specs of a new volume. Those of the VolumeAttributesClass take precedence over those of
    the StorageClass, and these over the specs that a copy inherits.

    :raises InvalidInput: a type does not exist.
    """
    if mutable.type or not mutable:
        return _fields(mutable if mutable.type else given)
    if given.type:
        known = _type(context, given.type)
        base = Specs(None, *known)
    elif given or source is None:
        base = given
    else:
        volume = source if isinstance(source, cl.Volume) else context.volume(source.volume_id)
        base = Specs(None, volume.extra_specs, volume.qos_specs)
    return _changed(base, mutable)


def _fields(given: Specs) -> Fields:
    if given.type:
        return Fields(type=given.type)
    found = Fields()
    if given.extra_specs:
        found["extra_specs"] = given.extra_specs
    if given.qos_specs:
        found["qos_specs"] = given.qos_specs
    return found


def _changed(base: Specs, mutable: Specs) -> Fields:
    """Own specs with the keys of a VolumeAttributesClass. Others stay, as CSI demands."""
    return Fields(
        extra_specs={**base.extra_specs, **mutable.extra_specs},
        qos_specs={**base.qos_specs, **mutable.qos_specs},
    )


def _type(context: Context, name: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The extra specs and the QoS specs of a volume type.

    :raises InvalidInput: it does not exist.
    """
    try:
        found = context.controller.type_specs(name)
    except errors.VolumeTypeNotFound:
        known = ", ".join(each.name for each in context.controller.types()) or "none"
        raise InvalidInput(f"Volume type {shown(name)} does not exist. Types: {known}.") from None
    return found.extra_specs, found.qos_specs


def check(context: Context, backend: cl.Backend, fields: Fields) -> None:
    """Refuse specs that nobody would enforce.

    :raises InvalidInput: a type does not exist, or the QoS specs have no effect.
    """
    qos = fields.get("qos_specs", {})
    if "type" in fields:
        qos = _type(context, fields["type"])[1]
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


def differences(volume: cl.Volume, fields: Fields) -> list[str]:
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


def of_volume(volume: cl.Volume, mutable: Specs) -> Fields:
    """The specs of an existing volume after a change."""
    if mutable.type:
        return Fields(type=mutable.type)
    return _changed(Specs(None, volume.extra_specs, volume.qos_specs), mutable)


def _retype(volume: cl.Volume, fields: Fields) -> None:
    try:
        volume.retype(**fields)
    except errors.Unsupported as exc:
        raise InvalidInput(
            f"Volume {volume.id} cannot have these parameters: {exc}", resource=volume
        ) from exc
