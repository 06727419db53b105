"""The networks between machines: their addresses, and QEMU's cards and cables.

A cable is a socket between the QEMU processes of two machines. One machine is the switch of all
networks: all cables lead to it.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence

#: The machines' numbers, the last part of their addresses.
NUMBERS = {
    "controller": 1,
    "ceph": 9,
    "node1": 11,
    "node2": 12,
    "bare": 13,
    "service": 14,
    "node3": 15,
}
#: The storage networks, for iSCSI, NVMe and all others that use IP.
NETWORKS = (1, 2)
#: The networks of Fibre Channel, and their machines.
FIBRE_CHANNEL_NETWORKS = (3, 4)
_WITH_FIBRE_CHANNEL = ("controller", "node1", "node2")


def address(name: str, network: int) -> str:
    """The address of a machine on a storage network."""
    return f"10.77.{network}.{NUMBERS[name]}"


def port_name(name: str, network: int) -> str:
    """The name (WWPN) of a machine's port on a network of Fibre Channel, in hexadecimal digits."""
    return "2000" + _mac(name, network).replace(":", "")


def card(netdev: str, name: str, network: int, model: str = "virtio-net-pci") -> str:
    """QEMU's description of a machine's network card."""
    return f"{model},netdev={netdev},mac={_mac(name, network)},romfile="


def cables(joined: Sequence[str]) -> list[str]:
    """The names of the switch's cables.

    :param joined: the machines that are cabled to it.
    """
    return [f"cable{each}-{other}" for each in _all() for other in _on(each, joined)]


def arguments(name: str, joined: Sequence[str], sockets: pathlib.Path) -> Iterator[str]:
    """QEMU's arguments for the cards and cables of a machine.

    :param joined: as for :func:`cables`; empty if the machine is not the switch.
    :param sockets: the folder of the cables.
    """
    for network in _all():
        if not _on(network, [name]):
            continue
        port = f"net{network}"
        if joined:
            for other in _on(network, joined):
                cable = f"cable{network}-{other}"
                yield from ("-netdev", _socket(cable, cable, sockets, "on"))
                yield from ("-netdev", f"hubport,id=port-{cable},hubid={network},netdev={cable}")
            yield from ("-netdev", f"hubport,id={port},hubid={network}")
        else:
            yield from ("-netdev", _socket(port, f"cable{network}-{name}", sockets, "off"))
        # os-brick derives the path of a disk over Fibre Channel from the PCI address of the card.
        # It does not understand the devices of virtio.
        model = "e1000e" if network in FIBRE_CHANNEL_NETWORKS else "virtio-net-pci"
        yield from ("-device", card(port, name, network, model))


def _all() -> tuple[int, ...]:
    return (*NETWORKS, *FIBRE_CHANNEL_NETWORKS)


def _on(network: int, names: Sequence[str]) -> list[str]:
    """Those of some machines that are on a network."""
    every = network not in FIBRE_CHANNEL_NETWORKS
    return [name for name in names if every or name in _WITH_FIBRE_CHANNEL]


def _socket(id: str, cable: str, sockets: pathlib.Path, server: str) -> str:
    return f"stream,id={id},server={server},addr.type=unix,addr.path={sockets}/{cable}"


def _mac(name: str, network: int) -> str:
    return f"52:54:00:00:{network:02x}:{NUMBERS[name]:02x}"
