"""The LVM backends of a controller, as its configuration file has them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from lab.networks import address


def backend(
    name: str = "lvm",
    *,
    host: str = "controller",
    group: str = "cinder-volumes",
    kind: str = "thin",
    portals: int = 1,
    multipath: bool = False,
) -> str:
    """A backend that exports logical volumes over iSCSI, in TOML.

    :param host: the machine that exports them.
    :param group: the volume group.
    :param kind: ``'thin'`` or ``'default'``, of the logical volumes.
    :param portals: 1, or 2: on both storage networks.
    :param multipath: attach over all portals on the controller itself.
    """
    options: dict[str, object] = {
        **_volumes(host, group, kind, portals),
        "target_protocol": "iscsi",
        "target_helper": "lioadm",
    }
    if multipath:
        options["use_multipath_for_image_xfer"] = True
    return _lines(name, options)


def nvme_backend() -> str:
    """A backend ``nvme`` that exports logical volumes of the controller over NVMe/TCP, on both
    storage networks, in TOML."""
    options = {
        **_volumes("controller", "cinder-volumes", "thin", portals=2),
        "target_protocol": "nvmet_tcp",
        "target_helper": "nvmet",
        "target_port": 4420,
        "nvmet_port_id": 1,
        "nvmeof_conn_info_version": 2,
    }
    return _lines("nvme", options)


def _volumes(host: str, group: str, kind: str, portals: int) -> dict[str, object]:
    options: dict[str, object] = {
        "volume_driver": "lvm",
        "volume_group": group,
        "lvm_type": kind,
        "target_ip_address": address(host, 1),
    }
    if portals > 1:
        options["target_secondary_ip_addresses"] = address(host, 2)
    return options


def _lines(name: str, options: Mapping[str, object]) -> str:
    lines = (f"{option} = {json.dumps(value)}\n" for option, value in options.items())
    return f"[backends.{name}]\n{''.join(lines)}"
