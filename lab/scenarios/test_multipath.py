"""Multipath with failing networks: writes never fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fibre_channel import plug_in
from steps import WRITER, active_paths, connect, networks_of, over_multipath, shows, until

from lab.machine import Machine
from lab.networks import FIBRE_CHANNEL_NETWORKS, NETWORKS
from lab.session import Session


@pytest.fixture
def plugged(node1: Machine) -> Iterator[None]:
    """Plug in both networks after the test, even if it fails."""
    yield
    for network in (*NETWORKS, *FIBRE_CHANNEL_NETWORKS):
        node1.plug(network, True)


@over_multipath("Writes while one network is cut and comes back, then the other")
@pytest.mark.usefixtures("plugged")
def test_networks_fail_in_turn(
    control: Session,
    node1: Machine,
    on_node1: Session,
    array: str,
    report: Callable[[str], None],
) -> None:
    _attach(control, on_node1, array)
    until(lambda: active_paths(node1) == 2, "both paths are used")
    on_node1(WRITER)
    try:
        for network in networks_of(array):
            node1.plug(network, False)
            until(lambda: active_paths(node1) == 1, f"the path over network {network} is given up")
            count = on_node1("progress[0]")
            until(lambda: on_node1("progress[0]") > count + 4, "writes go on")  # noqa: B023
            plug_in(node1, network)
            back = until(lambda: active_paths(node1) == 2, f"network {network} is used again")
            longest = on_node1("longest[0]")
            report(
                f"network {network} cut: a write took {longest:.1f} s,"
                f" both paths again in {back:.1f} s"
            )
    finally:
        on_node1("stop.set(); writer.join()")
    assert on_node1("failed") == []
    assert on_node1("different()") == []
    assert on_node1("len(written)") > 8
    on_node1("node.detach(info)")
    control("vol.disconnect(conn); vol.delete()")


@shows("Attach with one portal away from the start, each in turn", "iSCSI multipath")
@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize("network", NETWORKS)
def test_attach_with_one_portal_away(
    controller: Machine, control: Session, node1: Machine, on_node1: Session, network: int
) -> None:
    _connect(control, on_node1, "lvm")
    node1.plug(network, False)
    on_node1("attachment = node.attach(info)")
    assert on_node1("bool(attachment.multipath_id)")
    written = on_node1("data.write(attachment.path)")
    assert controller.digest(f"/dev/cinder-volumes/{control('vol.name_in_storage')}") == written
    on_node1("node.detach(info)")
    node1.plug(network, True)
    control("vol.disconnect(conn); vol.delete()")


@over_multipath("Detach with one path dead")
@pytest.mark.usefixtures("plugged")
def test_detach_with_one_path_dead(
    controller: Machine,
    control: Session,
    node1: Machine,
    on_node1: Session,
    array: str,
) -> None:
    _attach(control, on_node1, array)
    until(lambda: active_paths(node1) == 2, "both paths are used")
    written = on_node1("data.write(attachment.path)")
    network = networks_of(array)[0]
    node1.plug(network, False)
    until(lambda: active_paths(node1) == 1, "the path is given up")
    on_node1("node.detach(info)")
    left = node1.inventory()
    assert not left["SCSI devices"]
    assert not left["device-mapper maps"]
    assert not left["iSCSI sessions"]
    assert not left["iSCSI node records"]
    # Over Fibre Channel, the kernel scans a path that returns, and would find the volume again.
    control("vol.disconnect(conn)")
    plug_in(node1, network)
    assert controller.digest(f"/dev/cinder-volumes/{control('vol.name_in_storage')}") == written
    control("vol.delete()")


def _connect(control: Session, on_node1: Session, array: str) -> None:
    control(f"vol = {array}.create_volume(size=1)")
    connect(control, on_node1, "node1", multipath=True)


def _attach(control: Session, on_node1: Session, array: str) -> None:
    _connect(control, on_node1, array)
    on_node1("attachment = node.attach(info)")
    assert on_node1("bool(attachment.multipath_id)")
