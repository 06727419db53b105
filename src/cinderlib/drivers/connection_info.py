"""Completes a driver's connection information for the node: modes, QoS, block sizes."""

from __future__ import annotations

import dataclasses
from typing import Any

from cinderlib.records import ConnectionRecord, VolumeRecord

#: Limits that can be specified per GiB of the volume: ``read_iops_sec_per_gb``, with
#: ``read_iops_sec_per_gb_min`` and ``read_iops_sec_max``.
_PER_GB = (
    "read_iops_sec",
    "read_bytes_sec",
    "write_iops_sec",
    "write_bytes_sec",
    "total_iops_sec",
    "total_bytes_sec",
)
#: Value of the option disk_geometry -> physical and logical block size.
_GEOMETRIES = {"512": ("512", "512"), "512e": ("4096", "512"), "4k": ("4096", "4096")}


@dataclasses.dataclass(frozen=True, slots=True)
class ConnectionDefaults:
    """Properties of all connections of a backend, from its options.

    :ivar discard: whether devices support discard.
    :ivar block_sizes: the physical and logical block size, or ``None`` to use the driver's.
    """

    discard: bool
    block_sizes: tuple[str, str] | None

    @classmethod
    def of(cls, configuration: Any) -> ConnectionDefaults:
        """:param configuration: the configuration of a driver that is set up."""
        return cls(
            discard=bool(configuration.safe_get("report_discard_supported")),
            block_sizes=_GEOMETRIES.get(configuration.safe_get("disk_geometry") or ""),
        )


def complete(
    info: Any, volume: VolumeRecord, connection: ConnectionRecord, defaults: ConnectionDefaults
) -> dict[str, Any]:
    """The driver's connection information, with the ``data`` that Cinder's volume manager adds.

    :param info: connection information in plain values.
    :raises ValueError: it does not describe a connection.
    """
    if not isinstance(info, dict) or not isinstance(info.get("driver_volume_type"), str):
        raise ValueError(
            "the driver returned connection information that is not valid: expected"
            f" {{'driver_volume_type': ..., 'data': {{...}}}}, not {_shape(info)}"
        )
    data: Any = info.setdefault("data", {})
    if not isinstance(data, dict):
        raise ValueError(
            "the driver returned connection information that is not valid: 'data' must be a dict,"
            f" not {_shape(data)}"
        )
    data["qos_specs"] = _front_end_qos(volume)
    data["access_mode"] = _access_mode(volume, connection)
    if data.get("encrypted") is None:
        data["encrypted"] = bool(volume.encryption_key_id)
    cacheable = volume.extra_specs.get("cacheable") == "<is> True"
    data["cacheable"] = cacheable and bool(data.get("cacheable", True))
    if data.get("discard") is None and defaults.discard:
        data["discard"] = True
    if defaults.block_sizes and not {"physical_block_size", "logical_block_size"} & set(data):
        data["physical_block_size"], data["logical_block_size"] = defaults.block_sizes
    data["enforce_multipath"] = connection.connector.get("enforce_multipath", False)
    return info


def _shape(value: Any) -> str:
    """The type of a value, without its content, which can be secret."""
    if isinstance(value, dict):
        return f"a dict with the keys {', '.join(map(repr, value))}" if value else "an empty dict"
    return "None" if value is None else f"a {type(value).__name__}"


def _access_mode(volume: VolumeRecord, connection: ConnectionRecord) -> str:
    requested = connection.attach_mode or volume.admin_metadata.get("attached_mode") or "rw"
    return "ro" if volume.admin_metadata.get("readonly") == "True" else requested


def _front_end_qos(volume: VolumeRecord) -> dict[str, Any] | None:
    """The QoS specs that the node must enforce, with limits per GiB converted to absolute ones."""
    specs: dict[str, Any] = dict(volume.qos_specs)
    if specs.pop("consumer", "back-end") not in ("front-end", "both"):
        return None
    for limit in _PER_GB:
        each = specs.pop(f"{limit}_per_gb", None)
        if each is None:
            continue
        lowest = int(specs.pop(f"{limit}_per_gb_min", 0))
        value = max(lowest, int(each) * volume.size)
        specs[limit] = min(value, int(specs.pop(f"{limit}_max", value)))
    return specs
