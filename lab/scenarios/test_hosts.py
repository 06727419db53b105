"""Several hosts with one volume, a host with read-only access, and volumes that share a target."""

from __future__ import annotations

from typing import Any

import pytest
from steps import GIB, READ_ONLY, carry, connect, over_scsi, refuses_writes, shows, until

from lab.machine import Machine
from lab.session import RemoteError, Session


@shows("Two hosts on one volume: one disconnects, the other continues", "iSCSI multipath")
def test_two_hosts_at_one_volume(
    control: Session, node1: Machine, on_node1: Session, on_node2: Session
) -> None:
    control("vol = lvm.create_volume(size=1, multiattach=True); connections = {}")
    for name, node in (("node1", on_node1), ("node2", on_node2)):
        connect(control, node, name, multipath=True)
        device = node("attachment = node.attach(info); attachment.device")
        control("conn.device_attached(device)", device=carry(device))
        control("connections[host] = conn")
    first = on_node1("data.write(attachment.path)")
    assert on_node2("data.read(attachment.path)") == first
    second = on_node2("data.write(attachment.path, offset=8)")
    assert on_node1("data.read(attachment.path, offset=8)") == second

    # One host disconnects while the other writes.
    on_node2(
        """
        import threading
        stop, written = threading.Event(), []
        def write():
            while not stop.is_set():
                written.append(data.write(attachment.path, chunks=1, offset=16))
        writer = threading.Thread(target=write)
        writer.start()
        """
    )
    on_node1("node.detach(info)")
    control("vol.disconnect(connections['node1'])")
    assert not node1.inventory()["iSCSI sessions"]
    count = on_node2("len(written)")
    on_node2("import time\nwhile len(written) <= count + 1: time.sleep(0.05)", count=count)
    on_node2("stop.set(); writer.join()")
    assert on_node2("data.read(attachment.path, chunks=1, offset=16) == written[-1]")
    assert on_node2("data.read(attachment.path)") == first
    on_node2("node.detach(info)")
    control("vol.disconnect(connections['node2']); vol.delete()")


@shows("A second host is refused without multiattach", "iSCSI")
def test_a_second_host_is_refused(control: Session, on_node1: Session, on_node2: Session) -> None:
    properties = [
        node("cl.Node(my_ip=my_ip).connector_properties()") for node in (on_node1, on_node2)
    ]
    control("vol = lvm.create_volume(size=1)")
    control("conn = vol.connect(p, attached_host='node1')", p=carry(properties[0]))
    with pytest.raises(RemoteError) as caught:
        control("vol.connect(p, attached_host='node2')", p=carry(properties[1]))
    assert caught.value.kind == "InvalidVolume"
    assert "node1" in caught.value.message
    control("vol.disconnect(conn); vol.delete()")


@over_scsi(READ_ONLY)
def test_read_only(
    control: Session, node1: Machine, on_node1: Session, array: str, multipath: bool
) -> None:
    control(f"vol = {array}.create_volume(size=1)")
    connect(control, on_node1, "node1", multipath=multipath)
    written = on_node1("attachment = node.attach(info); data.write(attachment.path)")
    on_node1("node.detach(info)")
    control("vol.disconnect(conn)")
    connect(control, on_node1, "node1", multipath=multipath, attach_mode="ro")
    on_node1("attachment = node.attach(info)")
    refuses_writes(on_node1, written)
    on_node1("node.detach(info)")
    control("vol.disconnect(conn); vol.delete()")


_TWO_UNITS = """
    import rtslib_fb as lio
    volumes = [lvm.create_volume(size=1) for _ in range(2)]
    stores = [lio.BlockStorageObject(vol.name_in_storage,
                                     dev='/dev/cinder-volumes/' + vol.name_in_storage)
              for vol in volumes]
    target = lio.Target(lio.FabricModule('iscsi'), 'iqn.2026-11.lab.cinderlib:shared', 'create')
    group = lio.TPG(target, 1, 'create')
    for name, value in {'authentication': 0, 'generate_node_acls': 1,
                        'demo_mode_write_protect': 0}.items():
        group.set_attribute(name, str(value))
    for number, store in enumerate(stores):
        lio.LUN(group, number, store)
    for portal in portals:
        lio.NetworkPortal(group, portal, 3260)
    group.enable = True
    [{'conn': {'driver_volume_type': 'iscsi',
               'data': {'target_iqns': [target.wwn] * 2, 'target_luns': [number] * 2,
                        'target_portals': [f'{portal}:3260' for portal in portals]}},
      'use_multipath': True, 'volume': {'id': vol.id, 'size': 1 << 30}}
     for number, vol in enumerate(volumes)]
"""


@shows("Two volumes on one target; the session stays for the second", "iSCSI multipath")
def test_two_volumes_on_one_target(control: Session, node1: Machine, on_node1: Session) -> None:
    infos = control(_TWO_UNITS)
    on_node1(
        """
        node = cl.Node(my_ip=my_ip, multipath=True)
        first, second = [node.attach(info) for info in infos]
        """,
        infos=carry(infos),
    )
    assert len(node1.inventory()["iSCSI sessions"]) == 2
    written = on_node1("[data.write(first.path), data.write(second.path)]")
    assert written[0] != written[1]
    on_node1("node.detach(infos[0])")
    assert len(node1.inventory()["iSCSI sessions"]) == 2
    assert len(node1.inventory()["SCSI devices"]) == 2
    assert on_node1("data.read(second.path)") == written[1]
    on_node1("node.detach(infos[1])")
    control(
        """
        target.delete()
        for store, vol in zip(stores, volumes):
            store.delete()
            vol.delete()
        """
    )


@shows("Two volumes in one subsystem; the controllers stay for the second", "NVMe/TCP")
def test_two_volumes_in_one_subsystem(
    nvme: tuple[dict[str, Any], str],
    controller: Machine,
    control: Session,
    node1: Machine,
    on_node1: Session,
) -> None:
    one, _ = nvme
    nqn = one["conn"]["data"]["target_nqn"]
    control("other = lvm.create_volume(size=1)")
    name, other_id = control("other.name_in_storage, other.id")
    backing = f"/dev/cinder-volumes/{name}"
    target = "/opt/project/guest/nvme-target"
    controller.run(f"lvchange -K -ay {backing}; {target} map {nqn} 2 {backing} {other_id}")
    data = {**one["conn"]["data"], "vol_uuid": other_id, "ns_id": 2}
    two = {**one, "conn": {**one["conn"], "data": data}, "volume": {"id": other_id, "size": GIB}}
    on_node1(
        """
        import os
        node = cl.Node(my_ip=my_ip, multipath=True)
        first, second = [node.attach(info) for info in infos]
        """,
        infos=carry([one, two]),
    )
    written = on_node1("[data.write(first.path), data.write(second.path)]")
    assert written[0] != written[1]
    # Only the array can remove the namespace.
    on_node1("node.detach(infos[0])")
    assert len(node1.inventory()["NVMe controllers"]) == 2
    controller.run(f"{target} unmap {nqn} 1")
    until(lambda: not on_node1("os.path.exists(first.path)"), "the namespace disappears")
    assert on_node1("data.read(second.path)") == written[1]
    on_node1("node.detach(infos[1])")
    assert on_node1("[node.attachments(), node.leftovers()]") == [[], []]
    assert not node1.inventory()["NVMe controllers"]
    controller.run(f"{target} unmap {nqn} 2; lvchange -an {backing}")
    control("other.delete()")
