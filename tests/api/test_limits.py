"""Volumes with limits that their host enforces."""

from __future__ import annotations

import os
from pathlib import Path

import control_groups
import pytest
from control_groups import UNLIMITED, limits

import cinderlib as cl
from cinderlib.node import cgroups

as_root = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
    reason="needs root and the kernel's loop module (run as root, `modprobe loop`)",
)
SPECS = {"consumer": "front-end", "read_iops_sec": "100", "total_bytes_sec_per_gb": "1000000"}


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cgroups, "MOUNTS", cgroups.MOUNTS)
    control_groups.accept(tmp_path)
    return control_groups.make(tmp_path / "group")


def test_a_connection_has_the_limits_for_the_hypervisor(backend: cl.Backend) -> None:
    volume = backend.create_volume(2, qos_specs=SPECS)
    connection = volume.connect(backend.controller.local_connector(backend))
    assert connection.qos_specs == {"read_iops_sec": "100", "total_bytes_sec": 2000000}
    connection.disconnect()
    other = backend.create_volume(1, qos_specs={"maxIOPS": "100"})
    connection = other.connect(backend.controller.local_connector(backend))
    assert connection.qos_specs == {}


@as_root
@pytest.mark.library("the service's process does not accept the control group of the test")
def test_an_attach_limits_a_control_group(backend: cl.Backend, group: Path) -> None:
    volume = backend.create_volume(2, qos_specs=SPECS)
    connection = volume.attach(cgroup=str(group))
    assert limits(group) == "rbps=2000000 wbps=2000000 riops=100 wiops=max"
    assert volume.attach(cgroup=str(group)).changed is False
    connection.detach()
    assert limits(group) == UNLIMITED
    connection.attach(cgroup=str(group))
    assert "riops=100" in limits(group)
    volume.detach()
    assert limits(group) == UNLIMITED

    snapshot = volume.create_snapshot()
    snapshot.attach(cgroup=str(group))
    snapshot.detach()
    assert limits(group) == UNLIMITED


@as_root
def test_a_control_group_that_does_not_exist(backend: cl.Backend, tmp_path: Path) -> None:
    volume = backend.create_volume(1, qos_specs=SPECS)
    snapshot = volume.create_snapshot()
    before = backend.controller.volume(volume.id).record
    for bad in (str(tmp_path), "relative"):
        for each in (volume, snapshot):
            with pytest.raises(cl.errors.InvalidInput, match=r"control group of|absolute path"):
                each.attach(cgroup=bad)
    # It was not even mapped for a moment.
    assert backend.controller.volume(volume.id).record == before
    assert (volume.connections, volume.status) == ([], "available")
