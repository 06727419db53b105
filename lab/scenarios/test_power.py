"""Machines lose their power while volumes are attached."""

from __future__ import annotations

from test_remote import carry

from lab.machine import Machine, Session, address

_NODE = "import cinderlib as cl; import data; node = cl.Node(my_ip=my_ip, multipath=True)"


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
