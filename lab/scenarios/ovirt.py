"""The parts of oVirt's engine and vdsm that run this library's programs."""

from __future__ import annotations

import json
import shlex
from typing import Any

from lab.machine import ENVIRONMENT, Machine
from lab.networks import address

CORRELATION_ID = "lab-1"
#: The driver options of a storage domain; all values are strings.
DRIVER = {
    "volume_backend_name": "ovirt",
    "volume_driver": "cinder.volume.drivers.lvm.LVMVolumeDriver",
    "volume_group": "cinder-volumes",
    "lvm_type": "thin",
    "target_protocol": "iscsi",
    "target_helper": "lioadm",
    "target_ip_address": address("controller", 1),
    "target_secondary_ip_addresses": address("controller", 2),
}


class Engine:
    """The engine, which runs the adapter on the controller."""

    def __init__(self, controller: Machine, database: str) -> None:
        self._controller, self._database = controller, database

    def __call__(self, verb: str, *extra: str) -> str:
        driver = json.dumps(DRIVER | {"adapter": "cinderlib"})
        words = ["cinderlib-adapter", verb, driver, self._database, CORRELATION_ID, *extra]
        # Like the engine, with standard error in the same pipe.
        lines = self._controller.run(f"{ENVIRONMENT} {shlex.join(words)}").splitlines()
        assert len(lines) <= 1
        mark, _, answer = "".join(lines).partition(" ")
        assert mark in (CORRELATION_ID, "")
        return answer


class Vdsm:
    """vdsm on a node, which runs the helper and keeps a row for each volume in its database."""

    def __init__(self, node: Machine) -> None:
        self._node = node
        self._rows: dict[str, dict[str, Any]] = {}

    def _helper(self, verb: str, given: Any = None) -> Any:
        program = f"managedvolume-helper-cinderlib {verb}"
        return json.loads(self._node.program(program, "" if given is None else json.dumps(given)))

    def connector_info(self) -> Any:
        return self._helper("connector_info")

    def attach(self, volume: str, connection_info: Any) -> Any:
        attachment = self._helper("attach", {"connection_info": connection_info})
        map_name = attachment["multipath_id"]
        self._rows[volume] = {
            "vol_id": volume,
            "connection_info": connection_info,
            "attachment": attachment,
            "path": f"/dev/mapper/{map_name}",
            "multipath_id": map_name,
        }
        return attachment

    def detach(self, volume: str) -> None:
        assert self._helper("detach", self._rows[volume]) == {}
