"""``cinderlib doctor`` on a host that is not prepared for storage."""

from __future__ import annotations

import json

import pytest
from steps import connect, shows

from lab.machine import ENVIRONMENT, CommandFailed, Machine
from lab.networks import address
from lab.session import Session

_SCENARIO = "A bare host is repaired with the commands of doctor, which then finds no problems"


@shows(_SCENARIO, "iSCSI multipath", "NVMe/TCP", "NFS")
def test_a_bare_host_is_repaired(controller: Machine, control: Session, bare: Machine) -> None:
    _repair(bare, "iscsi", "multipath", "nvme", "nfs")
    # The repaired host can attach a volume.
    with bare.python() as python:
        python("import cinderlib as cl; import data", my_ip=address("bare", 1))
        control("vol = lvm.create_volume(size=1)")
        connect(control, python, "bare", multipath=True)
        python("attachment = node.attach(info)")
        assert python("bool(attachment.multipath_id)")
        written = python("data.write(attachment.path)")
        backing = f"/dev/cinder-volumes/{control('vol.name_in_storage')}"
        assert controller.digest(backing) == written
        python("node.detach(info)")
    control("vol.disconnect(conn); vol.delete()")


@shows(_SCENARIO, "RBD")
@pytest.mark.full
def test_a_bare_host_is_repaired_for_ceph(bare: Machine) -> None:
    """Ceph's packages take minutes to install."""
    _repair(bare, "rbd")


def _repair(bare: Machine, *protocols: str) -> None:
    doctor = f"doctor {' '.join(f'--protocol {name}' for name in protocols)}"
    with pytest.raises(CommandFailed) as caught:
        bare.program(f"cinderlib --json {doctor}")
    found = json.loads(caught.value.output)
    assert tuple(found["protocols"]) == protocols
    errors = {item["check"] for item in found["findings"] if item["severity"] == "error"}
    assert {f"{name}.commands" for name in protocols} <= errors, errors

    # Each command must work by itself.
    bare.run(f"{ENVIRONMENT} cinderlib {doctor} --script | sh -ex")
    found = json.loads(bare.program(f"cinderlib --json {doctor}"))
    assert [item for item in found["findings"] if item["severity"] != "note"] == []
