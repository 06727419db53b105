"""A Ceph cluster on a machine, as a backend of the controller."""

from __future__ import annotations

import uuid

from lab.machine import Machine
from lab.networks import address

#: The options of the backend.
OPTIONS = {
    "volume_driver": "rbd",
    "rbd_pool": "volumes",
    "rbd_user": "cinder",
    "rbd_ceph_conf": "/etc/ceph/ceph.conf",
    "rbd_keyring_conf": "/etc/ceph/ceph.client.cinder.keyring",
}


def serve(cluster: Machine) -> None:
    """Create a cluster with the pool ``volumes`` and the user ``cinder``."""
    program = "/opt/project/guest/ceph.py"
    cluster.run(f"python3 {program} {address(cluster.name, 1)} {uuid.uuid4()} {uuid.uuid4()}")


def join(cluster: Machine, controller: Machine) -> None:
    """Give the controller the key of the user."""
    for name in ("ceph.conf", "ceph.client.cinder.keyring"):
        text = cluster.run(f"cat /etc/ceph/{name}")
        controller.run(f"mkdir -p /etc/ceph && cat >/etc/ceph/{name} <<'EOF'\n{text}EOF\n")


def backend() -> str:
    """The backend ``ceph``, in TOML."""
    lines = (f'{option} = "{value}"\n' for option, value in OPTIONS.items())
    return f"[backends.ceph]\n{''.join(lines)}"
