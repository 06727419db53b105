"""Several hosts at one volume, one host that only reads, and volumes that share a target."""

from __future__ import annotations

import pytest
from test_remote import carry

from lab.machine import Machine, RemoteError, Session


def test_two_hosts_at_one_volume(
    control: Session, node1: Machine, on_node1: Session, on_node2: Session
) -> None:
    control("vol = lvm.create_volume(size=1, multiattach=True); connections = {}")
    nodes = {"node1": on_node1, "node2": on_node2}
    for name, node in nodes.items():
        properties = node(
            "node = cl.Node(my_ip=my_ip, multipath=True); node.connector_properties()"
        )
        info = control(
            """
            connections[name] = vol.connect(properties, attached_host=name)
            connections[name].connection_info
            """,
            name=name,
            properties=carry(properties),
        )
        device = node("attachment = node.attach(info); attachment.device", info=carry(info))
        control("connections[name].device_attached(device)", name=name, device=carry(device))
    first = on_node1("data.write(attachment.path)")
    assert on_node2("data.read(attachment.path)") == first
    second = on_node2("data.write(attachment.path, offset=8)")
    assert on_node1("data.read(attachment.path, offset=8)") == second

    # One leaves; the other writes all the while.
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


@pytest.mark.parametrize("multipath", [False, True], ids=["single", "multipath"])
def test_read_only(control: Session, on_node1: Session, multipath: bool) -> None:
    properties = on_node1(
        "node = cl.Node(my_ip=my_ip, multipath=multipath); node.connector_properties()",
        multipath=multipath,
    )
    control("vol = lvm.create_volume(size=1)")
    written = control("with vol.attached() as a: written = data.write(a.path)") or control(
        "written"
    )
    info = control(
        """
        conn = vol.connect(properties, attached_host='node1', attach_mode='ro')
        conn.connection_info
        """,
        properties=carry(properties),
    )
    on_node1("attachment = node.attach(info)", info=carry(info))
    assert on_node1("data.read(attachment.path)") == written
    with pytest.raises(RemoteError) as caught:
        on_node1("data.write(attachment.path)")
    assert caught.value.kind in ("PermissionError", "OSError")
    assert on_node1("data.read(attachment.path)") == written
    on_node1("node.detach(info)")
    control("vol.disconnect(conn); vol.delete()")
