"""Remote attach without a store in common: the controller gives JSON, the node gives JSON back."""

from __future__ import annotations

from steps import carry, shows, single_and_multipath

from lab.machine import Machine, Session, address

GIB = 1 << 30


@single_and_multipath("Remote: attach by Node, data, extend, detach")
def test_iscsi(
    controller: Machine, control: Session, node1: Machine, on_node1: Session, multipath: bool
) -> None:
    properties = on_node1(
        """
        node = cl.Node(my_ip=my_ip, multipath=multipath)
        node.connector_properties()
        """,
        multipath=multipath,
    )
    assert properties["multipath"] is multipath
    info = control(
        """
        vol = lvm.create_volume(size=1)
        conn = vol.connect(properties, attached_host='node1')
        conn.connection_info
        """,
        properties=carry(properties),
    )
    attachment = on_node1("attachment = node.attach(info); attachment.to_dict()", info=carry(info))
    control("conn.device = device; conn.save()", device=carry(attachment["device"]))
    assert bool(attachment["multipath_id"]) is multipath
    assert len(node1.inventory()["iSCSI sessions"]) == (2 if multipath else 1)
    written = on_node1("data.write(attachment.path)")
    backing = f"/dev/cinder-volumes/{control('vol.name_in_storage')}"
    assert controller.digest(backing) == written

    # Snapshot and clone while it is attached.
    control("snap = vol.create_snapshot(); copy = vol.clone()")
    rewritten = on_node1("data.write(attachment.path)")
    assert controller.digest(f"/dev/cinder-volumes/{control('copy.name_in_storage')}") == written
    restored = control("restored = snap.create_volume(); restored.name_in_storage")
    assert controller.digest(f"/dev/cinder-volumes/{restored}") == written
    assert on_node1("data.read(attachment.path)") == rewritten
    control("restored.delete(); copy.delete(); snap.delete()")
    written = rewritten

    # Asked again it is the same, and it stays while the volume grows.
    assert on_node1("node.attach(info).path == attachment.path")
    control("vol.extend(2)")
    assert on_node1("node.extend(info)") == 2 * GIB
    assert on_node1("data.size(attachment.path)") == 2 * GIB
    assert on_node1("data.read(attachment.path)") == written

    on_node1("node.detach(info)")
    on_node1("node.detach(info)")
    assert on_node1("node.leftovers()") == []
    control("vol.disconnect(conn); vol.delete()")


@single_and_multipath("Remote: attach by os-brick alone")
def test_iscsi_with_os_brick_alone(
    controller: Machine, control: Session, node1: Machine, multipath: bool
) -> None:
    with node1.python() as python:
        properties = python(
            """
            import os_brick
            from os_brick.initiator import connector
            from oslo_config import cfg

            cfg.CONF([], project='example')
            os_brick.setup(cfg.CONF)
            cfg.CONF.set_override('lock_path', '/run/lock/example', group='os_brick')
            connector.get_connector_properties('sudo', my_ip, multipath, False)
            """,
            multipath=multipath,
            my_ip=address("node1", 1),
        )
        info = control(
            """
            vol = lvm.create_volume(size=1)
            conn = vol.connect(properties, attached_host='node1')
            conn.connection_info
            """,
            properties=carry(properties),
        )
        device = python(
            """
            import data
            conn_info = info['conn']
            conn = connector.InitiatorConnector.factory(
                conn_info['driver_volume_type'], 'sudo', use_multipath=info['use_multipath'],
                device_scan_attempts=info['scan_attempts'], conn=conn_info)
            device = conn.connect_volume(conn_info['data'])
            device
            """,
            info=carry(info),
        )
        control("conn.device = device; conn.save()", device=carry(device))
        written = python("data.write(device['path'])")
        backing = f"/dev/cinder-volumes/{control('vol.name_in_storage')}"
        assert controller.digest(backing) == written
        python("conn.disconnect_volume(conn_info['data'], device)")
        control("vol.disconnect(conn); vol.delete()")


@shows("Remote: attach by Node, data, extend, detach", "NVMe/TCP")
def test_nvme_tcp(controller: Machine, control: Session, node1: Machine, on_node1: Session) -> None:
    control("vol = lvm.create_volume(size=1)")
    name, volume_id = control("vol.name_in_storage, vol.id")
    backing = f"/dev/cinder-volumes/{name}"
    nqn = f"nqn.2026-11.lab.cinderlib:{volume_id}"
    portals = [address("controller", network) for network in (1, 2)]
    nvmet = "/opt/project/guest/nvmet"
    controller.run(f"lvchange -K -ay {backing}")
    controller.run(f"{nvmet} export {nqn} {backing} {volume_id} {' '.join(portals)}")
    info = {
        "conn": {
            "driver_volume_type": "nvmeof",
            "data": {
                "target_nqn": nqn,
                "portals": [[portal, 4420, "tcp"] for portal in portals],
                "vol_uuid": volume_id,
                "ns_id": 1,
            },
        },
        "use_multipath": True,
        "volume": {"id": volume_id, "size": GIB},
    }
    on_node1("node = cl.Node(my_ip=my_ip, multipath=True)")
    assert on_node1("node.connector_properties('nvmeof')")["nqn"]
    attachment = on_node1("attachment = node.attach(info); attachment.to_dict()", info=carry(info))
    assert attachment["path"].startswith("/dev/")
    assert len(node1.inventory()["NVMe controllers"]) == 2
    written = on_node1("data.write(attachment.path)")
    assert controller.digest(backing) == written

    control("vol.extend(2)")
    controller.run(
        f"echo 1 >/sys/kernel/config/nvmet/subsystems/{nqn}/namespaces/1/revalidate_size"
    )
    assert on_node1("node.extend(info)") == 2 * GIB
    assert on_node1("data.size(attachment.path)") == 2 * GIB
    assert on_node1("data.read(attachment.path)") == written

    on_node1("node.detach(info)")
    on_node1("node.detach(info)")
    assert on_node1("node.leftovers()") == []
    controller.run(f"{nvmet} remove {nqn}")
    controller.run(f"lvchange -an {backing}")
    control("vol.delete()")


@shows("Remote: attach by Node, data, extend, detach", "RBD")
def test_rbd(rbd: None, control: Session, node1: Machine, on_node1: Session) -> None:
    assert node1.run("ls /etc/ceph").split() == ["rbdmap"]
    properties = on_node1("node = cl.Node(my_ip=my_ip); node.connector_properties('rbd')")
    info = control(
        """
        vol = ceph.create_volume(size=1)
        conn = vol.connect(properties, attached_host='node1')
        conn.connection_info
        """,
        properties=carry(properties),
    )
    attachment = on_node1("attachment = node.attach(info); attachment.to_dict()", info=carry(info))
    control("conn.device = device; conn.save()", device=carry(attachment["device"]))
    assert attachment["path"].startswith("/dev/rbd")
    written = on_node1("data.write(attachment.path)")
    control("vol.extend(2)")
    assert on_node1("node.extend(info)") == 2 * GIB
    assert on_node1("data.size(attachment.path)") == 2 * GIB
    # The key came with the connection, and is in no file now.
    assert not node1.run("grep -rl 'key =' /etc/ceph /tmp /run 2>/dev/null || true").strip()
    on_node1("node.detach(info)")
    on_node1("node.detach(info)")
    assert on_node1("node.leftovers()") == []
    control("vol.disconnect(conn)")

    # The controller reads the same when it attaches the volume itself.
    control("attach = vol.attach()")
    found = control("data.read(attach.path)")
    control("vol.detach(); vol.delete()")
    assert found == written


@shows("Remote: attach by Node, data, detach", "NFS")
def test_nfs(nfs: str, controller: Machine, control: Session, on_node1: Session) -> None:
    properties = on_node1("node = cl.Node(my_ip=my_ip); node.connector_properties('nfs')")
    info = control(
        """
        vol = share.create_volume(size=1)
        conn = vol.connect(properties, attached_host='node1')
        conn.connection_info
        """,
        properties=carry(properties),
    )
    attachment = on_node1("attachment = node.attach(info); attachment.to_dict()", info=carry(info))
    control("conn.device = device; conn.save()", device=carry(attachment["device"]))
    written = on_node1("data.write(attachment.path)")
    assert controller.digest(f"{nfs}/{control('vol.name_in_storage')}") == written
    on_node1("node.detach(info)")
    on_node1("node.detach(info)")
    assert on_node1("node.leftovers()") == []
    control("vol.disconnect(conn); vol.delete()")


@shows("Impossible documents are refused, nothing touched", "iSCSI", "NVMe/TCP", "RBD")
def test_impossible_documents_touch_nothing(node1: Machine, on_node1: Session) -> None:
    before = node1.inventory()
    refused = on_node1(
        """
        node = cl.Node(my_ip=my_ip)
        data_of = {'target_portal': '10.77.1.1:3260', 'target_iqn': 'iqn.2026-11.x.y:z',
                   'target_lun': 0}
        refused = []
        for wrong in (
            {},
            {'conn': {'driver_volume_type': 'iscsi'}},
            {'conn': {'driver_volume_type': 'iscsi', 'data': {'target_lun': 0}}},
            {'conn': {'driver_volume_type': 'iscsi', 'data': {**data_of, 'target_lun': None}}},
            {'conn': {'driver_volume_type': 'iscsi', 'data': data_of}, 'user_multipath': True},
            {'conn': {'driver_volume_type': 'iscsi', 'data': data_of}, 'use_multipath': 'yes'},
            {'conn': {'driver_volume_type': 'rbd', 'data': {'name': 'image'}}},
            {'conn': {'driver_volume_type': 'nvmeof', 'data': {'target_nqn': 'nqn.x'}}},
        ):
            try:
                node.attach(wrong)
            except cl.errors.InvalidDocument as exc:
                refused.append(str(exc))
        refused
        """
    )
    assert len(refused) == 8, refused
    assert node1.inventory() == before
