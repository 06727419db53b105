"""The LVM backends of a controller, as its configuration file has them."""

from __future__ import annotations

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
    options = {
        "volume_driver": "lvm",
        "volume_group": group,
        "lvm_type": kind,
        "target_protocol": "iscsi",
        "target_helper": "lioadm",
        "target_ip_address": address(host, 1),
    }
    if portals > 1:
        options["target_secondary_ip_addresses"] = address(host, 2)
    lines = [f'{option} = "{value}"\n' for option, value in options.items()]
    if multipath:
        lines.append("use_multipath_for_image_xfer = true\n")
    return f"[backends.{name}]\n{''.join(lines)}"
