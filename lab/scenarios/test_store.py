"""Remote attach with a shared store in PostgreSQL on the controller."""

from __future__ import annotations

from steps import shows

from lab.machine import WITH_STORE, Machine
from lab.networks import address
from lab.session import Session

_ON_NODE = """
    import json
    import cinderlib as cl
    import data
    cl.setup(persistence_config={'storage': 'db', 'connection': url},
             fail_on_missing_backend=False, disable_logs=False)
"""


@shows("Remote with PostgreSQL in common, the process restarted, two nodes", "iSCSI multipath")
def test_a_store_in_common(
    database: str, controller: Machine, control: Session, node1: Machine, node2: Machine
) -> None:
    control(
        """
        storage = cl.Controller({'storage': 'db', 'connection': url}, disable_logs=False)
        shared = storage.backend('shared', volume_group='cinder-volumes', lvm_type='thin', **common)
        volume_id = shared.create_volume(size=1).id
        """,
        url=database,
    )
    volume_id = control("volume_id")
    backing = f"/dev/cinder-volumes/{control('storage.volume(volume_id).name_in_storage')}"

    # Each node stores its connector properties under its ID, in one of the two possible ways.
    with node1.python(WITH_STORE) as one:
        one(_ON_NODE, url=database)
        one(
            """
            properties = cl.get_connector_properties('sudo', my_ip, True, False)
            kv = cl.KeyValue('node1', json.dumps(properties))
            cl.Backend.persistence.set_key_value(kv)
            """,
            my_ip=address("node1", 1),
        )
        _connect(control, "node1")
        written = one(
            """
            vol = cl.Backend.Volume.get_by_id(volume_id)
            assert vol.backend == 'shared'
            connection = vol.connections[0]
            connection.attach()
            data.write(connection.path)
            """,
            volume_id=volume_id,
        )
        assert controller.digest(backing) == written
        device = control("storage.volume(volume_id).connections[0].path")
        assert device == one("connection.path")

    # The process on the node has ended. A new process detaches the volume.
    with node1.python(WITH_STORE) as one:
        one(_ON_NODE, url=database)
        path = one(
            """
            vol = cl.Backend.Volume.get_by_id(volume_id)
            connection = vol.connections[0]
            connection.path
            """,
            volume_id=volume_id,
        )
        assert path == device
        assert one("data.read(connection.path)") == written
        control("storage.volume(volume_id).extend(2)")
        assert one("connection.extend()") == 2 << 30
        assert one("data.size(connection.path)") == 2 << 30
        one("connection.detach()")
    control(
        """
        vol = storage.volume(volume_id)
        assert not vol.connections[0].attached
        vol.disconnect(vol.connections[0])
        """
    )

    # The other node reads the data, and its writes reach the volume too.
    with node2.python(WITH_STORE) as two:
        two(_ON_NODE, url=database)
        two(
            """
            node = cl.Node(my_ip=my_ip, multipath=True)
            node.register(cl.Controller({'storage': 'db', 'connection': url},
                                        fail_on_missing_backend=False), 'node2')
            """,
            my_ip=address("node2", 1),
        )
        _connect(control, "node2")
        two(
            """
            connection = cl.Backend.Volume.get_by_id(volume_id).connections[0]
            connection.attach()
            """,
            volume_id=volume_id,
        )
        assert two("data.read(connection.path)") == written
        rewritten = two("data.write(connection.path)")
        assert controller.digest(backing) == rewritten
        two("connection.detach()")
    control("vol = storage.volume(volume_id); vol.disconnect(vol.connections[0]); vol.delete()")
    control("assert not list(storage.volumes()) and not list(storage.connections())")


def _connect(control: Session, node_id: str) -> None:
    control(
        """
        connector_info = json.loads(storage.persistence.get_key_values(node_id)[0].value)
        volume = storage.Volume.get_by_id(volume_id)
        volume.connect(connector_info, attached_host=node_id)
        """,
        node_id=node_id,
    )
