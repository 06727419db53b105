"""Remote attach without a shared store: controller and node exchange JSON documents."""

from __future__ import annotations

from typing import Any

import pytest
from steps import (
    BY_NODE,
    CHECKED,
    COPIES,
    DETACHED_COPIES,
    EXTEND,
    GIB,
    READ_ONLY,
    TGTD,
    carry,
    connect,
    over_scsi,
    refuses_another_volume,
    refuses_writes,
    shows,
)

from lab.machine import Machine
from lab.session import RemoteError, Session


@over_scsi(BY_NODE, EXTEND, COPIES, CHECKED, core=True)
def test_scsi(
    controller: Machine,
    control: Session,
    node1: Machine,
    on_node1: Session,
    array: str,
    multipath: bool,
) -> None:
    control(f"vol = {array}.create_volume(size=1)")
    connect(control, on_node1, "node1", multipath=multipath)
    assert control("conn.connector_info['multipath']") is multipath
    refuses_another_volume(node1, on_node1)
    attachment = attach(control, on_node1)
    # Over Fibre Channel, multipathd finds both paths without a request.
    assert bool(attachment["multipath_id"]) is multipath or array == "fc"
    if array == "lvm":
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
    control("restored.delete(); copy.delete(); snap.delete()")

    # A repeated attach returns the same device, also after the volume is extended.
    assert on_node1("node.attach(info).path == attachment.path")
    control("vol.extend(2)")
    saw_growth(on_node1, rewritten)
    detach(on_node1)
    control("vol.disconnect(conn); vol.delete()")


@pytest.mark.parametrize(
    "multipath",
    [
        pytest.param(multipath, id=name, marks=[shows(row, column) for row in (TGTD, CHECKED)])
        for multipath, name, column in (
            (False, "single", "iSCSI"),
            (True, "multipath", "iSCSI multipath"),
        )
    ],
)
def test_tgtd(
    tgtd: None,
    controller: Machine,
    control: Session,
    node1: Machine,
    on_node1: Session,
    multipath: bool,
) -> None:
    control("vol = tgt.create_volume(size=1)")
    connect(control, on_node1, "node1", multipath=multipath)
    refuses_another_volume(node1, on_node1)
    assert bool(attach(control, on_node1)["multipath_id"]) is multipath
    assert len(controller.inventory()["iSCSI targets of tgtd"]) == 1
    assert not controller.inventory()["iSCSI targets"]
    written = on_node1("data.write(attachment.path)")
    backing = f"/dev/cinder-volumes/{control('vol.name_in_storage')}"
    assert controller.digest(backing) == written
    control("copy = vol.clone()")
    on_node1("data.write(attachment.path)")
    assert controller.digest(f"/dev/cinder-volumes/{control('copy.name_in_storage')}") == written
    detach(on_node1)
    control("vol.disconnect(conn); vol.delete(); copy.delete()")
    assert not controller.inventory()["iSCSI targets of tgtd"]


@pytest.mark.core
@shows(BY_NODE, "NVMe/TCP")
@shows(EXTEND, "NVMe/TCP")
@shows(CHECKED, "NVMe/TCP")
@shows(READ_ONLY, "NVMe/TCP")
def test_nvme_tcp(
    nvme: tuple[dict[str, Any], str],
    controller: Machine,
    control: Session,
    node1: Machine,
    on_node1: Session,
) -> None:
    info, backing = nvme
    nqn = info["conn"]["data"]["target_nqn"]
    assert nqn in controller.inventory()["NVMe subsystems"]
    on_node1("node = cl.Node(my_ip=my_ip, multipath=True)")
    assert on_node1("node.connector_properties('nvmeof')")["nqn"]
    on_node1("info = info", info=carry(info))
    refuses_another_volume(node1, on_node1)
    on_node1("attachment = node.attach(info)")
    assert on_node1("attachment.path").startswith("/dev/nvme")
    assert len(node1.inventory()["NVMe controllers"]) == 2
    written = on_node1("data.write(attachment.path)")
    assert controller.digest(backing) == written

    control("vol.extend(2)")
    controller.run(f"/opt/project/guest/nvme-target resize {nqn}")
    saw_growth(on_node1, written)
    detach(on_node1)

    on_node1("attachment = node.attach({**info, 'attach_mode': 'ro'})")
    refuses_writes(on_node1, written)
    detach(on_node1)


@pytest.mark.parametrize(
    "transport",
    [
        pytest.param(transport, marks=[shows(row, protocol) for row in (BY_NODE, EXTEND, COPIES)])
        for transport, protocol in (("tcp", "NVMe/TCP"), ("rdma", "NVMe/RDMA"))
    ],
)
def test_cinders_nvme_target(
    controller: Machine, control: Session, node1: Machine, on_node1: Session, transport: str
) -> None:
    if transport == "rdma":
        for machine in (controller, node1):
            machine.run("/opt/project/guest/roce")
    control(
        """
        nvme = cl.Backend(f'nvme_{transport}', volume_group='cinder-volumes', lvm_type='thin',
                          target_port=4420, nvmet_port_id=port, nvmeof_conn_info_version=2,
                          **common | {'target_protocol': f'nvmet_{transport}',
                                      'target_helper': 'nvmet'})
        vol = nvme.create_volume(size=1)
        """,
        transport=transport,
        port={"tcp": 1, "rdma": 11}[transport],
    )
    backing = f"/dev/cinder-volumes/{control('vol.name_in_storage')}"
    connect(control, on_node1, "node1", multipath=True)
    assert attach(control, on_node1)["path"].startswith("/dev/nvme")
    paths = node1.run("cat /sys/class/nvme/nvme*/transport").split()
    assert paths == [transport] * 2
    written = on_node1("data.write(attachment.path)")
    assert controller.digest(backing) == written

    control("snap = vol.create_snapshot(); copy = vol.clone()")
    rewritten = on_node1("data.write(attachment.path)")
    control("info_, vol_, vol = conn, vol, copy")
    on_node1("original, attached = info, attachment")
    connect(control, on_node1, "node1", multipath=True)
    attach(control, on_node1)
    assert on_node1("data.read(attachment.path)") == written
    detach(on_node1, others=1)
    control("vol.disconnect(conn); vol.delete(); vol, conn = vol_, info_; snap.delete()")
    on_node1("info, attachment = original, attached")

    control("vol.extend(2)")
    saw_growth(on_node1, rewritten)
    detach(on_node1)
    control("vol.disconnect(conn); vol.delete()")
    assert not controller.inventory()["NVMe subsystems"]


@shows(BY_NODE, "RBD")
@shows(EXTEND, "RBD")
@shows(COPIES, "RBD")
@shows(CHECKED, "RBD")
@shows(READ_ONLY, "RBD")
def test_rbd(rbd: None, ceph: Machine, control: Session, node1: Machine, on_node1: Session) -> None:
    assert node1.run("ls /etc/ceph").split() == ["rbdmap"]
    control("vol = ceph.create_volume(size=1)")
    assert control("vol.name_in_storage") in ceph.inventory()["RBD images"]
    connect(control, on_node1, "node1")
    refuses_another_volume(node1, on_node1)
    assert attach(control, on_node1)["path"].startswith("/dev/rbd")
    # The key came with the connection document, and no file contains it.
    assert not node1.run("grep -rl 'key =' /etc/ceph /tmp /run 2>/dev/null || true").strip()
    written = on_node1("data.write(attachment.path)")

    control("snap = vol.create_snapshot(); copy = vol.clone()")
    rewritten = on_node1("data.write(attachment.path)")
    control("restored = snap.create_volume()")
    for name in ("copy", "restored"):
        # The controller reads them with the kernel's RBD client.
        assert control(f"attach = {name}.attach(); data.read(attach.path)") == written
        control(f"{name}.detach(); {name}.delete()")
    control("snap.delete()")

    control("vol.extend(2)")
    saw_growth(on_node1, rewritten)
    detach(on_node1)
    control("vol.disconnect(conn)")
    assert control("attach = vol.attach(); data.read(attach.path)") == rewritten
    control("vol.detach()")

    connect(control, on_node1, "node1", attach_mode="ro")
    on_node1("attachment = node.attach(info)")
    refuses_writes(on_node1, rewritten)
    detach(on_node1)
    control("vol.disconnect(conn); vol.delete()")


@shows(BY_NODE, "NFS")
@shows(CHECKED, "NFS")
@shows(READ_ONLY, "NFS")
def test_nfs(
    nfs: str, controller: Machine, control: Session, node1: Machine, on_node1: Session
) -> None:
    control("vol = share.create_volume(size=1)")
    assert control("vol.name_in_storage") in controller.inventory()["files on shares"]
    connect(control, on_node1, "node1")
    refuses_another_volume(node1, on_node1)
    attach(control, on_node1)
    written = on_node1("data.write(attachment.path)")
    assert controller.digest(f"{nfs}/{control('vol.name_in_storage')}") == written
    detach(on_node1)
    control("vol.disconnect(conn)")

    connect(control, on_node1, "node1", attach_mode="ro")
    on_node1("attachment = node.attach(info)")
    refuses_writes(on_node1, written)
    detach(on_node1)
    control("vol.disconnect(conn); vol.delete()")


@shows(DETACHED_COPIES, "NFS")
def test_nfs_snapshots(nfs: str, control: Session, node1: Machine, on_node1: Session) -> None:
    control("vol = share.create_volume(size=1)")
    connect(control, on_node1, "node1")
    attach(control, on_node1)
    written = on_node1("data.write(attachment.path)")
    detach(on_node1)
    control("vol.disconnect(conn); snap = vol.create_snapshot()")

    # The driver continues the volume in a qcow2 file on top of the snapshot.
    connect(control, on_node1, "node1")
    attach(control, on_node1)
    assert on_node1("attachment.file_format") == "qcow2"
    detach(on_node1)
    control("vol.disconnect(conn)")
    with pytest.raises(RemoteError, match="has it in a qcow2 file"):
        control("vol.wipe()")

    control("restored = snap.create_volume(); copy = vol.clone()")
    control("snap.delete(); vol.extend(2)")
    for name in ("restored", "copy", "vol"):
        control(f"original, vol = vol, {name}")
        connect(control, on_node1, "node1")
        attach(control, on_node1)
        assert on_node1("attachment.file_format, data.read(attachment.path)") == ["raw", written]
        detach(on_node1)
        control("vol.disconnect(conn); vol.delete(); vol = original")


@shows("Impossible documents are refused, nothing touched", "iSCSI", "NVMe/TCP", "RBD", "NFS")
def test_invalid_documents_cause_no_changes(node1: Machine, on_node1: Session) -> None:
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
            {'conn': {'driver_volume_type': 'nfs', 'data': {'export': '10.77.1.1:/srv'}}},
        ):
            try:
                node.attach(wrong)
            except cl.errors.InvalidDocument as exc:
                refused.append(str(exc))
        refused
        """
    )
    assert len(refused) == 9, refused
    assert node1.inventory() == before


def attach(control: Session, node: Session) -> dict[str, Any]:
    """Attach the node's ``info``; the controller records the device."""
    answered: dict[str, Any] = node("attachment = node.attach(info); attachment.to_dict()")
    control("conn.device = device; conn.save()", device=carry(answered["device"]))
    return answered


def saw_growth(node: Session, written: str) -> None:
    """Check that the node's ``attachment`` has the new size, 2 GiB, and the volume's data."""
    assert node("node.extend(info)") == 2 * GIB
    assert node("data.size(attachment.path)") == 2 * GIB
    assert node("data.read(attachment.path)") == written


def detach(node: Session, others: int = 0) -> None:
    """Detach the node's ``info`` twice; the second time has no effect.

    :param others: the number of volumes that remain attached.
    """
    node("node.detach(info)")
    node("node.detach(info)")
    assert node("[len(node.attachments()), node.leftovers()]") == [others, []]
