"""Machines lose their power while volumes are attached."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from steps import WRITER, carry, shows, until

from lab.machine import Machine, Session, address

_NODE = "import cinderlib as cl; import data; node = cl.Node(my_ip=my_ip, multipath=True)"


@shows("The node loses its power while attached", "iSCSI multipath")
def test_the_node_is_reset(controller: Machine, control: Session, node2: Machine) -> None:
    backing = _connected_volume(control, node2)
    info = control("conn.connection_info")
    before = node2.inventory()
    with node2.python() as python:
        python(_NODE, my_ip=address("node2", 1))
        python("attachment = node.attach(info)", info=carry(info))
        written = python("data.write(attachment.path)")
    assert controller.digest(backing) == written

    node2.reset()
    with node2.python() as python:
        python(_NODE, my_ip=address("node2", 1))
        assert python("[node.attachments(), node.leftovers()]") == [[], []]
        after = node2.inventory()
        # What open-iscsi keeps on its disk of portals stays until the volume is detached there.
        assert {**after, "iSCSI node records": []} == {**before, "attachments recorded": []}
        python("attachment = node.attach(info)", info=carry(info))
        assert python("data.read(attachment.path)") == written
        python("node.detach(info)")
    control("vol.disconnect(conn); vol.delete()")


@shows("The controller loses its power; restore_exports()", "iSCSI multipath")
@pytest.mark.last
def test_the_controller_is_reset(
    controller: Machine, control: Session, load: Callable[[Session], None], node2: Machine
) -> None:
    backing = _connected_volume(control, node2)
    info, volume_id = control("conn.connection_info, vol.id")
    with node2.python() as python:
        python(_NODE, my_ip=address("node2", 1))
        python("attachment = node.attach(info)", info=carry(info))
        python(WRITER)
        until(lambda: python("progress[0]") > 4, "writes begin")

        controller.reset()
        control.reopen()
        load(control)
        assert not controller.inventory()["iSCSI targets"]
        # The one call.
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


def _connected_volume(control: Session, node: Machine) -> str:
    with node.python() as python:
        python(_NODE, my_ip=address(node.name, 1))
        properties = python("node.connector_properties()")
    control(
        """
        vol = lvm.create_volume(size=1)
        conn = vol.connect(properties, attached_host=name)
        """,
        properties=carry(properties),
        name=node.name,
    )
    return f"/dev/cinder-volumes/{control('vol.name_in_storage')}"


@shows(
    "The process is killed while it attaches; leftovers are found and removed", "iSCSI multipath"
)
def test_the_process_is_killed(control: Session, node2: Machine) -> None:
    _connected_volume(control, node2)
    info = control("conn.connection_info")
    before = node2.inventory()
    with node2.python() as python:
        python(_NODE, my_ip=address("node2", 1))
        process = python("import os, threading; os.getpid()")
        python("threading.Thread(target=node.attach, args=[info]).start()", info=carry(info))
        until(lambda: bool(node2.inventory()["iSCSI sessions"]), "the attach has begun")
        node2.run(f"kill -9 {process}")
    with node2.python() as python:
        python(_NODE, my_ip=address("node2", 1))
        assert python("[leftover.operation for leftover in node.leftovers()]") == ["attaching"]
        assert python("[leftover.operation for leftover in node.cleanup()]") == ["attaching"]
        assert python("node.leftovers()") == []
    after = node2.inventory()
    assert after == before
    control("vol.disconnect(conn); vol.delete()")
