"""oVirt's managed block storage: the scenario acts as the engine and the hosts' vdsm."""

from __future__ import annotations

import json

from ovirt import Engine, Vdsm
from steps import carry, shows

from lab.machine import Machine
from lab.session import Session

_DISK = "00000000-0000-4000-8000-000000000001"


@shows("oVirt: the adapter on the engine, the helper on the host", "iSCSI multipath")
def test_a_disk_of_a_virtual_machine(
    database: str, controller: Machine, node1: Machine, on_node1: Session
) -> None:
    engine, vdsm = Engine(controller, database), Vdsm(node1)
    engine("create_volume", _DISK, "1")
    connector = vdsm.connector_info()
    assert connector["multipath"] is True
    connection_info = json.loads(engine("connect_volume", _DISK, json.dumps(connector)))
    assert connection_info["adapter"] == "cinderlib"

    attachment = vdsm.attach(_DISK, connection_info)
    # vdsm needs the multipath map and the WWN of an iSCSI disk.
    name = node1.run(f"basename $(readlink -f {attachment['path']})").strip()
    assert attachment["multipath_id"] == node1.run(f"cat /sys/block/{name}/dm/name").strip()
    assert attachment["scsi_wwn"] == attachment["multipath_id"]
    assert len(node1.run(f"ls /sys/block/{name}/slaves").split()) == 2
    engine("save_device", _DISK, json.dumps(attachment))
    written = on_node1("data.write(device['path'])", device=carry(attachment))
    assert controller.digest(f"/dev/cinder-volumes/volume-{_DISK}") == written

    vdsm.detach(_DISK)
    vdsm.detach(_DISK)
    engine("disconnect_volume", _DISK)
    engine("delete_volume", _DISK)
