"""Attach with os-brick alone, as in docs/connections.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from steps import BY_HAND, carry, over_scsi, shows

from lab.machine import Machine
from lab.networks import address
from lab.session import Session


@pytest.fixture(scope="session")
def brick(node1: Machine) -> Iterator[Session]:
    """A Python process on the first node with os-brick set up."""
    with node1.python() as python:
        python(
            """
            import data
            import os_brick
            from os_brick.initiator import connector
            from oslo_config import cfg

            cfg.CONF([], project='example')
            os_brick.setup(cfg.CONF)
            cfg.CONF.set_override('lock_path', '/run/lock/example', group='os_brick')
            """
        )
        yield python


@over_scsi(BY_HAND)
def test_scsi_by_hand(
    controller: Machine,
    control: Session,
    node1: Machine,
    brick: Session,
    array: str,
    multipath: bool,
) -> None:
    control(f"vol = {array}.create_volume(size=1)")
    device = _attach(brick, _connect(control, brick, multipath=multipath))
    control("conn.device = device; conn.save()", device=carry(device))
    assert ("multipath_id" in device) is multipath
    written = brick("data.write(device['path'])")
    assert controller.digest(f"/dev/cinder-volumes/{control('vol.name_in_storage')}") == written
    _detach(brick)
    control("vol.disconnect(conn); vol.delete()")


@shows(BY_HAND, "NVMe/TCP")
def test_nvme_tcp_by_hand(
    nvme: tuple[dict[str, Any], str], controller: Machine, brick: Session
) -> None:
    info, backing = nvme
    _attach(brick, info)
    written = brick("data.write(device['path'])")
    assert controller.digest(backing) == written
    _detach(brick)


@shows(BY_HAND, "RBD")
def test_rbd_by_hand(rbd: None, control: Session, brick: Session) -> None:
    control("vol = ceph.create_volume(size=1)")
    _attach(brick, _connect(control, brick))
    written = brick("data.write(device['path'])")
    _detach(brick)
    control("vol.disconnect(conn)")
    assert control("attach = vol.attach(); data.read(attach.path)") == written
    control("vol.detach(); vol.delete()")


@shows(BY_HAND, "NFS")
def test_nfs_by_hand(
    nfs: str, controller: Machine, control: Session, node1: Machine, brick: Session
) -> None:
    control("vol = share.create_volume(size=1)")
    _attach(brick, _connect(control, brick))
    written = brick("data.write(device['path'])")
    assert controller.digest(f"{nfs}/{control('vol.name_in_storage')}") == written
    _detach(brick)
    # os-brick leaves the share mounted, because other volumes may use it.
    node1.run(f"umount {brick('info')['conn']['mount_point_base']}/*")
    control("vol.disconnect(conn); vol.delete()")


def _connect(control: Session, brick: Session, *, multipath: bool = False) -> Any:
    properties = brick(
        "connector.get_connector_properties('sudo', my_ip, multipath, False)",
        my_ip=address("node1", 1),
        multipath=multipath,
    )
    return control(
        "conn = vol.connect(properties, attached_host='node1'); conn.connection_info",
        properties=carry(properties),
    )


def _attach(brick: Session, info: dict[str, Any]) -> dict[str, Any]:
    device: dict[str, Any] = brick(
        """
        initiator_connector = connector.InitiatorConnector.factory(
            info['conn']['driver_volume_type'], 'sudo', use_multipath=info['use_multipath'],
            device_scan_attempts=info['scan_attempts'], conn=info['conn'], do_local_attach=True)
        device = initiator_connector.connect_volume(info['conn']['data'])
        device
        """,
        info=carry(info),
    )
    return device


def _detach(brick: Session) -> None:
    brick("initiator_connector.disconnect_volume(info['conn']['data'], device)")
