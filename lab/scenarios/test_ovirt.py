"""oVirt's managed block storage: the scenario is the engine and the hosts' vdsm."""

from __future__ import annotations

import json
import shlex
from typing import Any

from steps import carry, shows

from lab.machine import ENVIRONMENT, Machine, Session, address

_CORRELATION_ID = "lab-1"
_DISK = "00000000-0000-4000-8000-000000000001"
#: A storage domain's driver options, texts all of them.
_DRIVER = {
    "adapter": "cinderlib",
    "volume_backend_name": "ovirt",
    "volume_driver": "cinder.volume.drivers.lvm.LVMVolumeDriver",
    "volume_group": "cinder-volumes",
    "lvm_type": "thin",
    "target_protocol": "iscsi",
    "target_helper": "lioadm",
    "target_ip_address": address("controller", 1),
    "target_secondary_ip_addresses": address("controller", 2),
}


@shows("oVirt: the adapter on the engine, the helper on the host", "iSCSI multipath")
def test_a_disk_of_a_virtual_machine(
    database: str, controller: Machine, node1: Machine, on_node1: Session
) -> None:
    def engine(verb: str, *extra: str) -> str:
        words = ["cinderlib-adapter", verb, json.dumps(_DRIVER), database, _CORRELATION_ID, *extra]
        # Standard error is in the same pipe, as the engine has it.
        lines = controller.run(f"{ENVIRONMENT} {shlex.join(words)}").splitlines()
        assert len(lines) <= 1
        mark, _, answer = "".join(lines).partition(" ")
        assert mark in (_CORRELATION_ID, "")
        return answer

    def vdsm(verb: str, given: Any = None) -> Any:
        program = f"managedvolume-helper-cinderlib {verb}"
        return json.loads(node1.program(program, "" if given is None else json.dumps(given)))

    engine("create_volume", _DISK, "1")
    connector = vdsm("connector_info")
    assert connector["multipath"] is True
    connection_info = json.loads(engine("connect_volume", _DISK, json.dumps(connector)))
    assert connection_info["adapter"] == "cinderlib"

    attachment = vdsm("attach", {"connection_info": connection_info})
    # What vdsm asks of an iSCSI disk: its map and its WWN.
    name = node1.run(f"basename $(readlink -f {attachment['path']})").strip()
    assert attachment["multipath_id"] == node1.run(f"cat /sys/block/{name}/dm/name").strip()
    assert attachment["scsi_wwn"] == attachment["multipath_id"]
    assert len(node1.run(f"ls /sys/block/{name}/slaves").split()) == 2
    engine("save_device", _DISK, json.dumps(attachment))
    written = on_node1("data.write(device['path'])", device=carry(attachment))
    assert controller.digest(f"/dev/cinder-volumes/volume-{_DISK}") == written

    row = {"vol_id": _DISK, "connection_info": connection_info, "attachment": attachment}
    map_name = attachment["multipath_id"]
    row |= {"path": f"/dev/mapper/{map_name}", "multipath_id": map_name}
    assert vdsm("detach", row) == {}
    assert vdsm("detach", row) == {}
    engine("disconnect_volume", _DISK)
    engine("delete_volume", _DISK)
