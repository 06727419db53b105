"""Persistent volumes return after a reset of a node with systemd, by the unit of the package."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from steps import carry, shows, started

from lab.machine import Machine
from lab.networks import address

_UNIT = "cinderlib-attach.service"
_GUEST = "/opt/project/guest"
_CONFIGURATION = f"""
[node]
multipath = true
my_ip = "{address("node3", 1)}"
"""
_PORTALS = [address("controller", network) for network in (1, 2)]
_TARGET = "iqn.2026-11.lab.cinderlib:boot"
_SIZE = 256 << 20


@shows("Persistent volumes are mounted after a reset", "iSCSI multipath", "NVMe/TCP", "RBD")
@pytest.mark.timeout(1800)
def test_volumes_return_after_a_reset(
    controller: Machine, ceph_cluster: Machine, node3: Machine
) -> None:
    """The arrays are only the targets of the kernel and a Ceph cluster: a node does not need
    more."""
    with (
        _configured(node3) as properties,
        _iscsi(controller, properties["initiator"]) as iscsi,
        _nvme(controller) as nvme,
        _rbd(ceph_cluster) as rbd,
    ):
        _return_while_they_are_persistent(node3, {"iscsi": iscsi, "nvme": nvme, "rbd": rbd})


@contextlib.contextmanager
def _iscsi(array: Machine, initiator: str) -> Iterator[dict[str, Any]]:
    """A connection document with two portals and CHAP."""
    portals = " ".join(_PORTALS)
    array.run(f"lvcreate -q -y -L {_SIZE}b -n boot-iscsi thick")
    array.run(
        f"{_GUEST}/lio export {_TARGET} /dev/thick/boot-iscsi {initiator} user secret {portals}"
    )
    data = {
        "target_iqns": [_TARGET, _TARGET],
        "target_portals": [f"{portal}:3260" for portal in _PORTALS],
        "target_luns": [1, 1],
        "target_iqn": _TARGET,
        "target_portal": f"{_PORTALS[0]}:3260",
        "target_lun": 1,
        "auth_method": "CHAP",
        "auth_username": "user",
        "auth_password": "secret",
    }
    yield _document("iscsi", data, str(uuid.uuid4()))
    array.run(f"{_GUEST}/lio remove {_TARGET}; lvremove -q -y thick/boot-iscsi")


@contextlib.contextmanager
def _nvme(array: Machine) -> Iterator[dict[str, Any]]:
    """A connection document with two portals."""
    volume = str(uuid.uuid4())
    nqn = f"nqn.2026-11.lab.cinderlib:{volume}"
    portals = " ".join(_PORTALS)
    array.run(f"lvcreate -q -y -L {_SIZE}b -n boot-nvme thick")
    array.run(f"{_GUEST}/nvme-target export {nqn} /dev/thick/boot-nvme {volume} {portals}")
    data = {
        "target_nqn": nqn,
        "portals": [[portal, 4420, "tcp"] for portal in _PORTALS],
        "vol_uuid": volume,
        "ns_id": 1,
    }
    yield _document("nvmeof", data, volume)
    array.run(f"{_GUEST}/nvme-target remove {nqn}; lvremove -q -y thick/boot-nvme")


@contextlib.contextmanager
def _rbd(cluster: Machine) -> Iterator[dict[str, Any]]:
    """A connection document with the key of the cluster."""
    cluster.run(f"rbd create --size {_SIZE}B volumes/boot-rbd")
    data = {
        "name": "volumes/boot-rbd",
        "hosts": [address("ceph", 1)],
        "ports": ["6789"],
        "cluster_name": "ceph",
        "auth_enabled": True,
        "auth_username": "cinder",
        "keyring": cluster.run("cat /etc/ceph/ceph.client.cinder.keyring"),
    }
    yield _document("rbd", data, str(uuid.uuid4()), multipath=False)
    cluster.run("rbd rm --no-progress volumes/boot-rbd")


def _document(
    protocol: str, data: dict[str, Any], volume: str, *, multipath: bool = True
) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "conn": {"driver_volume_type": protocol, "data": data},
        "use_multipath": multipath,
        "volume": {"id": volume, "size": _SIZE},
    }


@contextlib.contextmanager
def _configured(machine: Machine) -> Iterator[dict[str, Any]]:
    """A node with a configuration and without a store. Yields its connector properties."""
    machine.run(f"mkdir /etc/cinderlib; cat >/etc/cinderlib/cinderlib.toml <<T\n{_CONFIGURATION}T")
    yield json.loads(machine.program("cinderlib node connector --protocol iscsi"))
    machine.run(f"rm -r /etc/cinderlib /srv/*; systemctl disable -q {_UNIT}; sync")


def _return_while_they_are_persistent(
    machine: Machine, documents: dict[str, dict[str, Any]]
) -> None:
    """Volumes are mounted after a reset while they are persistent.

    :param documents: their connection documents by name.
    """
    before = machine.inventory()
    machine.run(f"systemctl enable {_UNIT}")
    written = {name: _mounted(machine, name, document) for name, document in documents.items()}
    # The last change before the loss of power is a persistent attachment: it must be on the disk.
    for path, _ in written.values():
        machine.run(f"cinderlib node persist {path}")
    machine.reset()
    started(machine)
    assert _files(machine) == {name: sha for name, (_, sha) in written.items()}
    assert len(_attachments(machine)) == len(documents)
    _are_attached_before_they_are_mounted(machine, list(documents))
    assert machine.program("cinderlib node leftovers --json").strip() == "[]"
    paths = machine.run("ls /sys/block/$(basename $(readlink /dev/mapper/3*))/slaves")
    assert len(paths.split()) == 2

    for each in _attachments(machine):
        machine.run(f"cinderlib node unpersist {each['path']}")
    machine.run("sed -i /cinderlib-attach/d /etc/fstab; sync")
    machine.reset()
    started(machine)
    assert _attachments(machine) == []
    _has_only_sessions_of_open_iscsi(before, machine.inventory())
    for document in documents.values():
        machine.program("cinderlib node detach -", json.dumps(carry(document)))


def _has_only_sessions_of_open_iscsi(
    before: dict[str, list[str]], after: dict[str, list[str]]
) -> None:
    """The host has no mounts and no attachments, only what open-iscsi has done by itself.

    os-brick records targets with ``node.startup = automatic``, so open-iscsi logs in to them at
    boot until a detach removes the records. The device exists then, but is not attached.
    """
    after = {**after, "attachments recorded": before["attachments recorded"]}
    added = {kind: set(names) - set(before[kind]) for kind, names in after.items()}
    assert {kind for kind, names in added.items() if names} <= {
        "iSCSI node records",
        "iSCSI sessions",
        "SCSI devices",
        "device-mapper maps",
    }
    assert {session.split()[1] for session in added["iSCSI sessions"]} <= {_TARGET}


def _mounted(machine: Machine, name: str, document: dict[str, Any]) -> tuple[str, str]:
    """Attach a volume, and mount a filesystem on it with its line for fstab.

    :returns: the device, and the checksum of the file.
    """
    path = machine.program("cinderlib node attach -", json.dumps(document)).strip()
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


def _files(machine: Machine) -> dict[str, str]:
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
