"""``cinderlib doctor`` on a host that is not prepared for storage."""

from __future__ import annotations

import json

import fibre_channel
import pytest
from steps import connect, shows, until

from lab.machine import ENVIRONMENT, CommandFailed, Machine
from lab.networks import FIBRE_CHANNEL_NETWORKS, address
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


@shows("doctor finds ports that reach no array, after their cables are pulled", "FC multipath")
@pytest.mark.last
@pytest.mark.parametrize("array", ["fc"], ids=["fibre_channel"], indirect=True)
@pytest.mark.usefixtures("array")
def test_ports_are_checked(node1: Machine) -> None:
    """Fibre Channel over Ethernet does not notice a pulled cable: the port stays online."""
    first, second = FIBRE_CHANNEL_NETWORKS
    missing = ("fc.target", "warning")
    assert _findings(node1) == []
    node1.plug(first, False)
    until(lambda: _findings(node1) == [missing], "one port of the node is unplugged")
    node1.plug(second, False)
    until(lambda: _findings(node1) == [missing, missing], "both ports are unplugged")
    for network in FIBRE_CHANNEL_NETWORKS:
        fibre_channel.plug_in(node1, network)
    until(lambda: _findings(node1) == [], "both ports are used again")


def _findings(node: Machine) -> list[tuple[str, str]]:
    """The findings about Fibre Channel; doctor fails if one is an error."""
    try:
        answer = node.program("cinderlib --json doctor --protocol fc")
    except CommandFailed as failed:
        answer = failed.output
    found = json.loads(answer)["findings"]
    return [(each["check"], each["severity"]) for each in found if each["check"][:3] == "fc."]


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
