"""Live migration: a disk that is not multi-attach moves from one node to the other; data is written
on both sides of the move."""

from __future__ import annotations

import json
import pathlib
import shlex
import uuid
from typing import Any

from ovirt import DRIVER, Engine, Vdsm
from steps import WRITER, carry, connect, shows, until

from lab.machine import Machine
from lab.session import Session

_CLIENT = pathlib.Path(__file__).parents[2] / "tests" / "ovirt" / "engine_client.py"


@shows("Live migration", "iSCSI multipath")
def test_by_the_api(
    controller: Machine,
    control: Session,
    node1: Machine,
    node2: Machine,
    on_node1: Session,
    on_node2: Session,
) -> None:
    control("vol = lvm.create_volume(size=1)")
    connect(control, on_node1, "node1", multipath=True)
    control("source = conn")
    on_node1("attachment = node.attach(info)")
    on_node1(WRITER)
    try:
        connect(control, on_node2, "node2", multipath=True, migrating=True)
        on_node2("attachment = node.attach(info)")
        assert on_node2("bool(attachment.multipath_id)")
        count = on_node1("progress[0]")
        until(lambda: on_node1("progress[0]") > count + 4, "the source goes on writing")
    finally:
        on_node1("stop.set(); writer.join()")
    assert on_node1("failed") == []
    written = carry(on_node1("written"))
    assert len(written) > 4
    for place, sha in written.items():
        assert on_node2("data.read(attachment.path, 1, place)", place=int(place)) == sha

    on_node2(WRITER)
    try:
        on_node1("node.detach(info)")
        control("source.disconnect()")
        assert control("[c.connector_info['host'] for c in vol.connections]") == ["node2"]
        count = on_node2("progress[0]")
        until(lambda: on_node2("progress[0]") > count + 4, "the destination goes on writing")
    finally:
        on_node2("stop.set(); writer.join()")
    assert on_node2("failed") == []
    assert on_node2("different()") == []
    last = on_node2("data.write(attachment.path)")
    assert controller.digest(f"/dev/cinder-volumes/{control('vol.name_in_storage')}") == last
    on_node2("node.detach(info)")
    control("vol.disconnect(conn); vol.delete()")


@shows("Live migration by oVirt's adapter", "iSCSI multipath")
def test_by_the_adapter(
    database: str,
    controller: Machine,
    node1: Machine,
    node2: Machine,
    on_node1: Session,
    on_node2: Session,
) -> None:
    disk = str(uuid.uuid4())
    engine, source, destination = Engine(controller, database), Vdsm(node1), Vdsm(node2)

    def start(vdsm: Vdsm) -> Any:
        connector = json.dumps(vdsm.connector_info())
        found = vdsm.attach(disk, json.loads(engine("connect_volume", disk, connector)))
        engine("save_device", disk, json.dumps(found))
        return found

    engine("create_volume", disk, "1")
    on_node1("device = device", device=carry(start(source)))
    before = on_node1("data.write(device['path'])")
    on_node2("device = device", device=carry(start(destination)))
    assert on_node2("data.read(device['path'])") == before
    during = on_node1("data.write(device['path'], 1, 8)")
    assert on_node2("data.read(device['path'], 1, 8)") == during
    source.detach(disk)
    engine("disconnect_volume", disk)
    after = on_node2("data.write(device['path'])")
    assert controller.digest(f"/dev/cinder-volumes/volume-{disk}") == after
    destination.detach(disk)
    engine("disconnect_volume", disk)
    engine("delete_volume", disk)


@shows("Live migration by the calls of oVirt's own client", "iSCSI multipath")
def test_by_the_calls_of_the_engines_own_client(
    database: str,
    controller: Machine,
    node1: Machine,
    node2: Machine,
    on_node1: Session,
    on_node2: Session,
) -> None:
    disk = str(uuid.uuid4())
    controller.run(f"cat >/root/engine_client.py <<'END'\n{_CLIENT.read_text()}\nEND\n")
    driver = json.dumps(DRIVER | {"volume_backend_name": "client", "live_migration": "true"})
    store = json.dumps({"storage": "db", "connection": database})
    command = shlex.join(["python3", "/root/engine_client.py", driver, store, "/root/client"])

    def client(*verbs: list[str]) -> Any:
        """The answer to the last of them."""
        answers = controller.program(command, "\n".join(map(json.dumps, verbs)))
        return json.loads(answers.splitlines()[-1])

    def start(node: Session, *before: list[str]) -> None:
        connector = json.dumps(
            node("node = cl.Node(my_ip=my_ip, multipath=True); node.connector_properties()")
        )
        conn = client(*before, ["connect_volume", disk, connector])
        info = {"conn": conn, "use_multipath": True}
        device = node("attachment = node.attach(info); attachment.device", info=carry(info))
        client(["save_device", disk, json.dumps(device)])

    start(on_node1, ["create_volume", disk, "1"])
    before = on_node1("data.write(attachment.path)")
    start(on_node2)
    assert on_node2("data.read(attachment.path)") == before
    during = on_node1("data.write(attachment.path, 1, 8)")
    assert on_node2("data.read(attachment.path, 1, 8)") == during
    on_node1("node.detach(info)")
    client(["disconnect_volume", disk])
    after = on_node2("data.write(attachment.path)")
    assert controller.digest(f"/dev/cinder-volumes/volume-{disk}") == after
    on_node2("node.detach(info)")
    client(["disconnect_volume", disk], ["delete_volume", disk])
