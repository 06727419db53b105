"""Proxmox's storage type, with a Perl program in the place of Proxmox."""

from __future__ import annotations

import os
import signal
import statistics
import time

import pytest
from proxmox.conftest import Cluster

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["disks", "nodes", "slow", "parallel"])
def test_the_life_of_virtual_disks(cluster: Cluster, name: str) -> None:
    result = cluster.prove(name)
    assert result.returncode == 0, result.stdout


#: In this order, each on the result of those before it.
ACTIONS = (
    *("add", "change", "alloc", "activate", "notes", "snapshot", "read", "rollback", "activate"),
    *("export", "import", "forget", "resize", "deactivate", "template", "clone", "reassign"),
    *("free", "remove"),
)


def _agree(cluster: Cluster) -> None:
    """The store, the array and Proxmox's list have the same disks."""
    driving = cluster.services[0]
    status, found = driving.ask("POST", "/v1/backends/files/reconcile", {})
    assert (status, found) == (200, [])
    status, volumes = driving.ask("GET", "/v1/volumes?backend=files")
    assert {each["status"] for each in volumes} <= {"available", "in-use"}
    listed = [line.rpartition("/")[2] for line in cluster.act("names").stdout.split()]
    assert sorted(each["name"] for each in volumes if "@" not in each["name"]) == sorted(listed)


def _nothing_is_left(cluster: Cluster) -> None:
    assert cluster.loop_devices() == []
    assert [name for name in os.listdir(cluster.volumes) if not name.startswith(".")] == []
    for node in cluster.nodes:
        assert [files for _, _, files in os.walk(node.links) if files] == []


def test_the_plug_in_is_killed_at_each_request(cluster: Cluster) -> None:
    interruptions = 0
    for action in ACTIONS:
        number = 1
        while (code := cluster.act(action, f"plugin {number}").returncode) == 9:
            interruptions += 1
            number += 1
            cluster.wait_for_calls()
            _agree(cluster)
        done = cluster.act(action)
        assert (code, done.returncode) == (done.returncode, 0), (action, done.stderr)
        _agree(cluster)
    assert interruptions >= len(ACTIONS)
    _nothing_is_left(cluster)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("what", ["service", "node"])
def test_it_is_killed_during_each_request(cluster: Cluster, what: str) -> None:
    """The service alone, or the whole node: its devices and links do not exist any more."""
    node = cluster.nodes[0]
    interruptions = 0
    for action in ACTIONS:
        number = 1
        while True:
            assert node.process is not None
            # Some requests have ended by then; others are at different steps.
            seconds = (0.0, 0.004, 0.02)[number % 3]
            interrupt = f"service {number} {node.process.pid} {seconds}"
            if cluster.act(action, interrupt).returncode != 9:
                break
            node.process.wait()
            if what == "node":
                cluster.lose_power(node)
            else:
                node.run()
            interruptions += 1
            number += 1
        done = cluster.act(action)
        assert done.returncode == 0, (action, done.stderr)
        cluster.wait_for_calls()
        _agree(cluster)
    assert interruptions >= len(ACTIONS)
    _nothing_is_left(cluster)


def test_a_guest_starts_after_its_node_lost_all_devices(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    assert cluster.act("alloc").returncode == 0
    assert cluster.act("activate").returncode == 0
    cluster.lose_power(node)
    done = cluster.act("activate")
    assert done.returncode == 0, done.stderr
    (device,) = cluster.loop_devices()
    assert os.readlink(node.links / "files/vm-300-disk-0") == device
    assert cluster.act("free").returncode == 0
    _nothing_is_left(cluster)


def test_a_node_that_does_not_come_back(cluster: Cluster) -> None:
    """Its disks start on another node. They are removed after its connections."""
    gone, other = cluster.nodes
    assert cluster.act("alloc").returncode == 0
    assert cluster.act("activate").returncode == 0
    cluster.lose_power(gone)
    assert cluster.act("activate", number=1).returncode == 0
    assert cluster.act("deactivate", number=1).returncode == 0
    refused = cluster.act("free", number=1)
    assert refused.returncode == 1
    assert f"vm-300-disk-0 cannot be deleted: it is connected to {gone.name}" in refused.stderr
    (connection,) = other.ask("GET", "/v1/connections")[1]
    disconnected = other.ask("POST", f"/v1/connections/{connection['id']}/disconnect", {})
    assert disconnected[0] == 200
    done = cluster.act("free", number=1)
    assert done.returncode == 0, done.stderr
    _agree(cluster)
    _nothing_is_left(cluster)


def test_pvestatd_does_not_wait_for_a_service_that_hangs(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    assert node.process is not None
    node.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        result = cluster.act("status")
        # 2, and the time in which Perl starts.
        assert time.monotonic() - began < 5
    finally:
        node.process.send_signal(signal.SIGCONT)
    assert result.returncode == 1
    assert "did not answer in time" in result.stderr
    # The driver may not have reported anything yet.
    while time.monotonic() - began < 60 and cluster.act("status").returncode != 0:
        pass
    assert cluster.act("status").returncode == 0


def test_a_lun_of_the_array_becomes_a_disk(cluster: Cluster) -> None:
    (cluster.volumes / "old-lun").write_bytes(b"of the old host".ljust(1 << 30, b"\0"))
    driving, node = cluster.services[0], cluster.nodes[0]
    reference = {"reference": {"source-name": "old-lun"}, "name": "vm-300-disk-0"}
    status, _ = driving.ask("POST", "/v1/backends/files/manage-volume", reference)
    assert status == 200
    assert cluster.act("names").stdout.split() == ["vm-300-disk-0"]
    assert cluster.act("activate").returncode == 0
    with (node.links / "files/vm-300-disk-0").open("rb") as device:
        assert device.read(15) == b"of the old host"
    assert cluster.act("free").returncode == 0
    _nothing_is_left(cluster)


#: Milliseconds: five times the limits of benchmarks/parts/proxmox.py, for busy machines.
BOUNDS = {"list_images": 1500, "status": 100, "activate_volume of an attached disk": 50}


@pytest.mark.timeout(900)
def test_the_web_page_does_not_wait(cluster: Cluster) -> None:
    """The median of 20 calls with 1,000 disks. Loaded machines delay some of them."""
    found = {call: statistics.median(times) for call, times in cluster.speed(1000).items()}
    assert {call: found[call] for call, bound in BOUNDS.items() if found[call] > bound} == {}
