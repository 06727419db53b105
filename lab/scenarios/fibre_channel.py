"""Fibre Channel: the array and its nodes, which are on two networks without switches."""

from __future__ import annotations

import json

from steps import until

from lab.machine import Machine
from lab.networks import FIBRE_CHANNEL_NETWORKS, port_name

#: The options of the backend.
OPTIONS = {
    "volume_driver": "fc_lvm.FibreChannelLVMDriver",
    "target_helper": "fake",
    "volume_group": "cinder-volumes",
    "lvm_type": "thin",
    # The scan of a host takes seconds on an emulated processor.
    "num_volume_device_scan_tries": 10,
}
_NODES = ("node1", "node2")
_JOIN = f"/opt/project/guest/fc {' '.join(map(str, FIBRE_CHANNEL_NETWORKS))}"
#: A role is known after the log-in, and the host scans the port when it has a target ID.
_TARGETS = """
    for port in /sys/class/fc_remote_ports/rport-*; do
        [[ -e $port/roles ]] && grep -q 'FCP Target' $port/roles &&
            grep -q '^[0-9]' $port/scsi_target_id && grep -q Online $port/port_state && echo $port
    done || true
"""


def serve(controller: Machine) -> None:
    """Make the ports of the controller targets for the nodes, before the nodes log in."""
    ports = [port_name(node, network) for node in _NODES for network in FIBRE_CHANNEL_NETWORKS]
    controller.run(f"{_JOIN}; /opt/project/guest/fc-target {' '.join(ports)}")


def backend() -> str:
    """A backend that exports logical volumes of the controller over Fibre Channel, in TOML."""
    lines = (f"{option} = {json.dumps(value)}\n" for option, value in OPTIONS.items())
    return f"[backends.fc]\n{''.join(lines)}"


def join(node: Machine) -> None:
    """Log a node in to the array. Calls after the first change nothing, until the node restarts."""
    node.run(_JOIN)
    until(
        lambda: target_ports(node) == len(FIBRE_CHANNEL_NETWORKS),
        f"{node.name} is logged in to the array on each network",
    )


def plug_in(node: Machine, network: int) -> None:
    """Plug in a node's cable to a network of any protocol, and log in if it is Fibre Channel."""
    node.plug(network, True)
    if network in FIBRE_CHANNEL_NETWORKS:
        node.run(f"/opt/project/guest/fc again {network}")


def target_ports(node: Machine) -> int:
    """The number of ports of the array that the node reaches."""
    return len(node.run(_TARGETS).split())
