"""Persistent volumes return after a reset of a node with systemd, by the unit of the package."""

from __future__ import annotations

import json
from typing import Any

import pytest
from steps import carry, shows, started

from lab.machine import Machine, Session, address

_UNIT = "cinderlib-attach.service"
_CONFIGURATION = f"""
[node]
multipath = true
my_ip = "{address("node3", 1)}"
"""


@shows("Persistent volumes are mounted after a reset", "iSCSI multipath", "NVMe/TCP", "RBD")
@pytest.mark.timeout(1800)
def test_volumes_return_after_a_reset(
    controller: Machine,
    control: Session,
    nvme: tuple[dict[str, Any], str],
    rbd: None,
    node3: Machine,
) -> None:
    before = node3.inventory()
    node3.run(
        f"mkdir -p /etc/cinderlib; cat >/etc/cinderlib/cinderlib.toml <<'T'\n{_CONFIGURATION}T"
    )
    properties = json.loads(node3.program("cinderlib node connector"))
    control("disk = lvm.create_volume(size=1); image = ceph.create_volume(size=1)")
    documents = {"nvme": nvme[0]}
    for name, volume in (("iscsi", "disk"), ("rbd", "image")):
        documents[name] = control(
            f"{volume}.connect(properties, attached_host='node3').connection_info",
            properties=properties,
        )
    written = {name: _mounted(node3, name, document) for name, document in documents.items()}
    # The last change before the loss of power is a persistent attachment: it must be on the disk.
    node3.run(f"systemctl enable {_UNIT}; sync")
    node3.run(f"cinderlib node persist {written['rbd'][0]}")
    node3.reset()
    started(node3)
    assert _paths(node3) == {name: sha for name, (_, sha) in written.items()}
    assert len(_attachments(node3)) == len(documents)
    _are_attached_before_they_are_mounted(node3, list(documents))
    assert node3.run("cinderlib node leftovers --json").strip() == "[]"
    paths = node3.run("ls /sys/block/$(basename $(readlink /dev/mapper/3*))/slaves")
    assert len(paths.split()) == 2

    for each in _attachments(node3):
        node3.run(f"cinderlib node unpersist {each['path']}")
    node3.run("sed -i /cinderlib-attach/d /etc/fstab; sync")
    node3.reset()
    started(node3)
    assert _attachments(node3) == []
    after = node3.inventory()
    # Records of open-iscsi and of the previous boot remain until the node detaches the volume.
    after |= {kind: before[kind] for kind in ("iSCSI node records", "attachments recorded")}
    assert after == before
    for document in documents.values():
        node3.program("cinderlib node detach -", json.dumps(carry(document)))
    node3.run("rm -r /etc/cinderlib /srv/*; systemctl disable -q cinderlib-attach.service; sync")
    control(
        """
        for volume in (disk, image):
            volume.refresh()
            volume.disconnect(volume.connections[0])
            volume.delete()
        """
    )


def _mounted(machine: Machine, name: str, document: dict[str, Any]) -> tuple[str, str]:
    """Attach a volume, persistently except RBD, and mount a filesystem on it with its line for
    fstab.

    :returns: the device, and the checksum of the file.
    """
    option = "" if name == "rbd" else "--persist"
    path = machine.program(f"cinderlib node attach {option} -", json.dumps(document)).strip()
    machine.run(
        f"""
        set -e
        mkfs.ext4 -q {path}
        udevadm settle
        mkdir -p /srv/{name}
        cinderlib node fstab {path} /srv/{name} >>/etc/fstab
        systemctl daemon-reload
        mount /srv/{name}
        head -c 4M /dev/urandom >/srv/{name}/file
        sync
        """
    )
    return path, machine.run(f"sha256sum /srv/{name}/file").split()[0]


def _paths(machine: Machine) -> dict[str, str]:
    """The checksum of the file on each mounted volume, by name."""
    found = machine.run("cd /srv; for d in *; do ! mountpoint -q $d || sha256sum $d/file; done")
    return {path.split("/")[0]: sha for sha, path in map(str.split, found.splitlines())}


def _attachments(machine: Machine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(machine.run("cinderlib node list --json 2>/dev/hvc0"))
    return found


def _are_attached_before_they_are_mounted(machine: Machine, names: list[str]) -> None:
    def when(unit: str, event: str) -> int:
        return int(machine.run(f"systemctl show -P {event}TimestampMonotonic {unit}"))

    attached = when(_UNIT, "ActiveEnter")
    assert when("network-online.target", "ActiveEnter") <= when(_UNIT, "InactiveExit")
    assert when("multipathd.service", "ActiveEnter") <= when(_UNIT, "InactiveExit")
    for name in names:
        assert attached <= when(f"srv-{name}.mount", "InactiveExit")
