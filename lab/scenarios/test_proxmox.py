"""Proxmox VE's storage type on two nodes, with a process in the place of QEMU that writes data."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from proxmox import Cluster, Node
from steps import GIB, WRITER, carry, shows, until

from lab.machine import CommandFailed, Machine, Session

#: KiB.
_SIZE = GIB // 1024
#: Proxmox's EFI disk.
_EFI_SIZE = 528
#: MiB, behind the places of the writer.
_QUIET = 512


@pytest.fixture(scope="module")
def cluster(controller: Machine, node1: Machine, node2: Machine) -> Iterator[Cluster]:
    """A running cluster of two nodes."""
    with Cluster(controller, node1, node2) as cluster:
        yield cluster


@shows("Proxmox VE: snapshot and resize of a disk of a running guest", "iSCSI multipath")
def test_a_disk_of_a_running_guest(
    cluster: Cluster, controller: Machine, node1: Machine, node2: Machine
) -> None:
    node, other = cluster.nodes
    disk, efi = node("alloc", 100, _SIZE), node("alloc", 100, _EFI_SIZE)
    assert other("names", 100) == ["vm-100-disk-0", "vm-100-disk-1"]
    for each in (disk, efi):
        node("activate", each)
    assert node("path", disk) == "/dev/cinderlib/array/vm-100-disk-0"
    with node.guest(disk, pause=0.5) as guest:
        assert guest("os.path.realpath(path)").startswith("/dev/dm-")
        quiet = guest("data.write(path, offset=quiet)", quiet=_QUIET)
        guest(WRITER)
        until(lambda: guest("progress[0]") > 4, "writes begin")
        before = carry(guest("written"))
        node("volume_snapshot", disk, "running")
        after = carry(guest("written"))
        node("volume_resize", disk, 2 * GIB, 1)
        until(lambda: guest("os.lseek(held, 0, os.SEEK_END)") == 2 * GIB, "the guest has the size")
        _writes_go_on(guest)
        guest("data.write(path, offset=quiet)", quiet=_QUIET)
        _stop(guest)

    # The snapshot has the data that was not overwritten while it was taken.
    unchanged = [place for place in before if before[place] == after[place]][-8:]
    assert unchanged
    node("activate", disk, "running")
    with node.machine.python() as python:
        copy = node("path", disk, "running")
        python("import data", path=copy)
        for place in unchanged:
            assert python("data.read(path, 1, place)", place=int(place)) == before[place]
        assert python("data.read(path, offset=quiet)", quiet=_QUIET) == quiet
    node("deactivate", disk, "running")

    # A disk that was resized after the snapshot is not rolled back.
    with pytest.raises(CommandFailed, match="vm-100-disk-0 cannot be reverted: it has 2 GiB"):
        node("rollback", disk, "running")
    for each in (disk, efi):
        node("deactivate", each)
        node("free", each)
    assert other("names", 100) == []


@shows("Proxmox VE: rollback of a disk", "iSCSI multipath")
def test_a_rollback(cluster: Cluster, controller: Machine, node1: Machine, node2: Machine) -> None:
    # Cinder's driver cannot revert thin logical volumes.
    node, other = (each.on("thick") for each in cluster.nodes)
    disk = node("alloc", 106, _SIZE)
    node("activate", disk)
    with node.guest(disk) as guest:
        before = guest("data.write(path)")
        node("volume_snapshot", disk, "before")
        guest("data.write(path); os.close(held)")
    # Another node does not roll back the disk of a running guest.
    with pytest.raises(CommandFailed, match="node1"):
        other("rollback", disk, "before")
    node("rollback", disk, "before")
    assert not node.machine.inventory()["SCSI devices"]
    other("activate", disk)
    with other.guest(disk) as guest:
        assert guest("data.read(path)") == before
        guest("os.close(held)")
    other("deactivate", disk)
    other("free", disk)
    assert node("names", 106) == []


@shows("Proxmox VE: live migration, and one whose destination loses its power", "iSCSI multipath")
def test_a_live_migration(
    cluster: Cluster, controller: Machine, node1: Machine, node2: Machine
) -> None:
    source, destination = cluster.nodes
    disk = source("alloc", 101, _SIZE)
    source("activate", disk)
    with source.guest(disk, pause=0.5) as guest:
        guest(WRITER)
        until(lambda: guest("progress[0]") > 4, "writes begin")

        # The destination loses its power in the middle: the guest continues on the source.
        destination("activate", disk)
        destination.machine.reset()
        _writes_go_on(guest)
        destination.start()

        destination("activate", disk)
        with destination.guest(disk, pause=0.5) as moved:
            _writes_go_on(guest)
            _stop(guest)
            written = carry(guest("written"))
            for place in list(written)[-8:]:
                assert moved("data.read(path, 1, place)", place=int(place)) == written[place]
            moved(WRITER)
            source("deactivate", disk)
            assert not source.machine.inventory()["SCSI devices"]
            _writes_go_on(moved)
            _stop(moved)
    destination("deactivate", disk)
    destination("free", disk)
    assert source("names", 101) == []


@shows("Proxmox VE: a node loses its power, and the guest starts on another", "iSCSI multipath")
def test_a_node_loses_its_power(
    cluster: Cluster, controller: Machine, node1: Machine, node2: Machine
) -> None:
    lost, other = cluster.nodes
    disk = lost("alloc", 102, _SIZE)
    lost("activate", disk)
    with lost.guest(disk, pause=0.5) as guest:
        guest(WRITER)
        until(lambda: guest("progress[0]") > 8, "writes begin")
        written = carry(guest("written"))
        # While it writes, and before it writes to the same places again.
        lost.machine.monitor("system_reset")
        other("activate", disk)
    with other.guest(disk, pause=0.5) as guest:
        for place, sha in written.items():
            assert guest("data.read(path, 1, place)", place=int(place)) == sha
        guest(WRITER)
        lost.machine.wait()
        lost.start()
        _writes_go_on(guest)
        _stop(guest)
    other("deactivate", disk)
    # The array maps the disk to the node that was lost until that node has stopped the guest.
    with pytest.raises(CommandFailed, match="node1"):
        other("free", disk)
    lost("activate", disk)
    lost("deactivate", disk)
    other("free", disk)
    assert lost("names", 102) == []


@shows("Proxmox VE: a template and a linked clone on another node", "iSCSI multipath")
def test_a_linked_clone(
    cluster: Cluster, controller: Machine, node1: Machine, node2: Machine
) -> None:
    node, other = cluster.nodes
    disk = node("alloc", 103, _SIZE)
    node("activate", disk)
    with node.guest(disk) as guest:
        written = guest("os.close(held); data.write(path)")
    template = node("template", disk)
    clone = other("clone", template, 104)
    assert other("names", 104) == ["base-103-disk-0/vm-104-disk-0"]
    other("activate", clone)
    with other.guest(clone) as guest:
        assert guest("os.close(held); data.read(path)") == written
        guest("data.write(path)")
    other("deactivate", clone)
    moved = node("reassign", clone, 105, "vm-105-disk-0")
    node("free", moved)
    node("free", template)
    assert [other("names", vmid) for vmid in (103, 104, 105)] == [[], [], []]
    until(lambda: _capacity(other) > 0, "the capacity is known")


def _writes_go_on(guest: Session) -> None:
    count = guest("progress[0]")
    until(lambda: guest("progress[0]") > count + 4, "writes go on")


def _stop(guest: Session) -> None:
    """Stop the writer, verify its data, and close the device."""
    guest("stop.set(); writer.join()")
    assert guest("failed") == []
    assert guest("different()") == []
    guest("os.close(held)")


def _capacity(node: Node) -> int:
    """The bytes of the storage; 0 if the service does not know them within Proxmox's patience."""
    try:
        total: int = node("status")[0]
    except CommandFailed:
        return 0
    return total
