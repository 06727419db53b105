"""Many attaches in sequence and in parallel: no leaks and no leftovers."""

from __future__ import annotations

import pytest
from steps import carry, connect, over_scsi, shows

from lab.machine import Machine
from lab.session import Session

_PROCESS = """
    def process():
        with open('/proc/self/status') as status:
            fields = dict(line.split(':', 1) for line in status)
        return {'files': len(os.listdir('/proc/self/fd')), 'threads': int(fields['Threads']),
                'memory': int(fields['VmRSS'].split()[0]) // 1024}
"""


@over_scsi("Many attaches and detaches: no resources leak")
def test_repeated_attach_and_detach(
    control: Session,
    node1: Machine,
    on_node1: Session,
    request: pytest.FixtureRequest,
    array: str,
    multipath: bool,
) -> None:
    """A hundred times with --full, otherwise three times."""
    cycles = 100 if request.config.getoption("--full") else 3
    on_node1("import os" + _PROCESS.replace("\n    ", "\n"))
    control(f"vol = {array}.create_volume(size=1)")
    connect(control, on_node1, "node1", multipath=multipath)
    cycle = """
        attachment = node.attach(info)
        written = data.write(attachment.path, chunks=1)
        assert data.read(attachment.path, chunks=1) == written
        node.detach(info)
    """
    for _ in range(2):
        on_node1(cycle)
    before = on_node1("process()")
    empty = node1.inventory()
    for _ in range(cycles):
        on_node1(cycle)
        assert node1.inventory() == empty
    after = on_node1("process()")
    assert after["files"] <= before["files"]
    assert after["threads"] <= before["threads"]
    assert after["memory"] <= before["memory"] + 4
    control("vol.disconnect(conn); vol.delete()")


@shows("Many volumes at the same time, each in its own thread", "iSCSI multipath")
def test_many_volumes_in_parallel_threads(
    control: Session, node1: Machine, on_node1: Session, request: pytest.FixtureRequest
) -> None:
    """Ten volumes with --full, otherwise four."""
    count = 10 if request.config.getoption("--full") else 4
    properties = on_node1(
        "node = cl.Node(my_ip=my_ip, multipath=True); node.connector_properties()"
    )
    infos = control(
        """
        volumes = [lvm.create_volume(size=1) for _ in range(count)]
        connections = [vol.connect(properties, attached_host='node1') for vol in volumes]
        [connection.connection_info for connection in connections]
        """,
        properties=carry(properties),
        count=count,
    )
    on_node1(
        """
        from concurrent.futures import ThreadPoolExecutor
        def use(info):
            attachment = node.attach(info)
            written = data.write(attachment.path, chunks=1)
            return attachment.path, written
        with ThreadPoolExecutor(len(infos)) as pool:
            used = list(pool.map(use, infos))
        """,
        infos=carry(infos),
    )
    assert len(set(on_node1("[path for path, _ in used]"))) == count
    assert (
        on_node1("[data.read(path, chunks=1) == written for path, written in used]")
        == [True] * count
    )
    on_node1("with ThreadPoolExecutor(len(infos)) as pool: list(pool.map(node.detach, infos))")
    assert not node1.inventory()["SCSI devices"]
    control(
        """
        for vol, connection in zip(volumes, connections):
            vol.disconnect(connection)
            vol.delete()
        """
    )
