"""Machines lose power while volumes are attached."""

from __future__ import annotations

from collections.abc import Callable

import fibre_channel
import pytest
from steps import WRITER, carry, connect, over_multipath, shows, until

from lab.machine import Machine
from lab.networks import address
from lab.session import Session


@over_multipath("The node loses its power while attached")
def test_the_node_is_reset(
    controller: Machine, control: Session, node2: Machine, array: str
) -> None:
    before = node2.inventory()
    with _node(node2) as python:
        backing = _connected_volume(control, python, array)
        python("attachment = node.attach(info)")
        written = python("data.write(attachment.path)")
    assert controller.digest(backing) == written
    info = control("conn.connection_info")

    node2.reset()
    if array == "fc":
        fibre_channel.join(node2)
    with _node(node2) as python:
        assert python("[node.attachments(), node.leftovers()]") == [[], []]
        after = node2.inventory()
        # On disk, open-iscsi's records of portals remain until the node detaches the volume, and
        # the records of an earlier boot until the next attach.
        remains = {"iSCSI node records", "attachments recorded"}
        if array == "fc":
            # The host has found the volume when it logged in.
            assert len(after["SCSI devices"]) == 2
            remains |= {"SCSI devices", "device-mapper maps"}
        assert {kind for kind in after if after[kind] != before[kind]} <= remains
        python("attachment = node.attach(info)", info=carry(info))
        assert python("data.read(attachment.path)") == written
        python("node.detach(info)")
    control("vol.disconnect(conn); vol.delete()")


@shows("The controller loses its power; restore_exports()", "iSCSI multipath")
@pytest.mark.last
def test_the_controller_is_reset(
    controller: Machine, control: Session, load: Callable[[Session], None], node2: Machine
) -> None:
    with _node(node2) as python:
        backing = _connected_volume(control, python, "lvm")
        volume_id = control("vol.id")
        python("attachment = node.attach(info)")
        python(WRITER)
        until(lambda: python("progress[0]") > 4, "writes begin")

        controller.reset()
        control.reopen()
        load(control)
        assert not controller.inventory()["iSCSI targets"]
        # This call restores all exports.
        assert control("[vol.id for vol in lvm.restore_exports()]") == [volume_id]
        count = python("progress[0]")
        until(lambda: python("progress[0]") > count + 4, "writes go on")
        python("stop.set(); writer.join()")
        assert python("failed") == []
        assert python("different()") == []
        assert controller.digest(backing) == python("data.read(attachment.path)")

        assert control("[vol.id for vol in lvm.restore_exports()]") == [volume_id]
        python("node.detach(info)")
    control("vol = cl.Volume.get_by_id(volume_id)", volume_id=volume_id)
    control("vol.disconnect(vol.connections[0]); vol.delete()")


@shows("The process is killed during an attach; leftovers are found and removed", "iSCSI multipath")
def test_the_process_is_killed(control: Session, node2: Machine) -> None:
    before = node2.inventory()
    with _node(node2) as python:
        _connected_volume(control, python, "lvm")
        process = python("import os, threading; os.getpid()")
        python("threading.Thread(target=node.attach, args=[info]).start()")
        # At this point there is a session, but no disk and no multipath map.
        node2.run(
            "until compgen -G '/sys/class/iscsi_session/session*'; do sleep 0.02; done; "
            f"kill -9 {process}"
        )
    with _node(node2) as python:
        assert python("[leftover.operation for leftover in node.leftovers()]") == ["attaching"]
        assert python("[leftover.operation for leftover in node.cleanup()]") == ["attaching"]
        assert python("node.leftovers()") == []
    after = node2.inventory()
    assert after == before
    control("vol.disconnect(conn); vol.delete()")


def _node(machine: Machine) -> Session:
    """A separate process, which can end with its machine."""
    python = machine.python()
    python("import cinderlib as cl; import data", my_ip=address(machine.name, 1))
    python("node = cl.Node(my_ip=my_ip, multipath=True)")
    return python


def _connected_volume(control: Session, node: Session, array: str) -> str:
    """Create a volume and connect it to a node. Returns its logical volume."""
    control(f"vol = {array}.create_volume(size=1)")
    connect(control, node, "node2", multipath=True)
    return f"/dev/cinder-volumes/{control('vol.name_in_storage')}"
