"""The CSI plug-in on two nodes: the conformance suite, encryption, failures of nodes and paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from csi import ARRAYS, KUBELET, Cluster, over
from steps import GIB, WRITER, active_paths, networks_of, shows, until

from lab.machine import Machine, Session

#: The plug-in starts in each machine.
pytestmark = pytest.mark.timeout(3600)
#: Publishes and stages a volume on this node, and shows it at a target path of a workload.
_USE = """
    volume = csi.volume(name)
    used = csi.use(volume)
    attachment = types.SimpleNamespace(path=used['target_path'] + '/file')
"""
#: Seconds for a part of the whole suite: the processors are emulated.
_SUITE = 7200
#: The tests of the suite that each of the two nodes runs.
_FEW = ("each_call_can_be_repeated or TestIdentity", "expand_while_it_is_used or two_targets")
#: The whole suite, in parts.
_PARTS = {
    "nodes": ("TestNode", "TestPublish or TestIdentity or TestHostile"),
    "volumes": ("TestVolumes", "TestSnapshots"),
}


@pytest.fixture(scope="module")
def cluster(
    request: pytest.FixtureRequest, controller: Machine, node1: Machine, node2: Machine
) -> Iterator[Cluster]:
    """The plug-in on the controller and on two nodes, with the backends of the selected scenarios.
    Each backend takes long to load, and Ceph needs another machine."""
    selected = {
        item.callspec.params["backend"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and "backend" in item.fixturenames
    }
    if "ceph" in selected:
        request.getfixturevalue("ceph_user")
    with Cluster(controller, node1, node2, arrays=sorted({"lvm", *selected})) as cluster:
        yield cluster


@over("CSI: a filesystem on one node, then on another")
def test_a_volume_on_two_nodes(
    cluster: Cluster, controller: Machine, node1: Machine, node2: Machine, backend: str
) -> None:
    array = ARRAYS[backend]
    one, two = cluster.nodes
    with one.orchestrator() as here, two.orchestrator() as there:
        for python in (here, there):
            python("csi.parameters = {'backend': backend}", backend=backend)
        here(_USE, name="shared")
        # The host sees the mounts of the plug-in, which is in another mount namespace.
        found = node1.run(f"findmnt --raw --noheadings --output SOURCE,TARGET | grep {KUBELET}/")
        assert found.count(array.device) == 2
        assert len(node1.inventory()[array.kind]) == array.paths
        here("pathlib.Path(attachment.path).write_text('data')")
        code, message = there(
            """
            volume = csi.call('CreateVolume', name=name, volume_capabilities=[mount()],
                              capacity_range=m.CapacityRange(required_bytes=GIB),
                              parameters=csi.parameters).volume
            refusal('ControllerPublishVolume', volume_id=volume.volume_id, node_id=csi.node_id,
                    volume_capability=mount())
            """,
            name="shared",
        )
        assert code == "FAILED_PRECONDITION"
        assert "node1" in message
        here("csi.clean_node(volume)")
        assert not node1.inventory()[array.kind]
        assert there(
            "used = csi.use(volume); pathlib.Path(used['target_path'], 'file').read_text()"
        )
        there("csi.clean_node(volume)")
        here("csi.clean(); csi.close()")


@over(
    "CSI: networks are cut in turn while a workload writes to a filesystem",
    backends=("lvm", "fc"),
    always=("lvm",),
)
def test_networks_are_cut(
    cluster: Cluster,
    controller: Machine,
    node1: Machine,
    backend: str,
    report: Callable[[str], None],
) -> None:
    node, networks = cluster.nodes[0], networks_of(backend)
    with node.orchestrator() as python:
        python("csi.parameters = {'backend': backend}", backend=backend)
        python(_USE, name="cut")
        python("open(attachment.path, 'wb').truncate(256 << 20)")
        until(lambda: active_paths(node1) == 2, "both paths are used")
        python(WRITER, pause=0.2)
        try:
            for network in networks:
                node1.plug(network, False)
                until(lambda: active_paths(node1) == 1, f"the path over network {network} fails")
                _writes_go_on(python)
                node1.plug(network, True)
                until(lambda: active_paths(node1) == 2, f"network {network} is used again")
        finally:
            for network in networks:
                node1.plug(network, True)
            python("stop.set(); writer.join()")
        report(f"the longest write took {python('longest[0]'):.1f} s")
        assert python("failed") == []
        assert python("different()") == []
        stats = python(
            """
            answer = csi.call('NodeGetVolumeStats', volume_id=volume.volume_id,
                              volume_path=used['target_path'])
            [answer.volume_condition.abnormal, answer.volume_condition.message]
            """
        )
        assert stats == [False, "The device exists and belongs to the volume."]
        python("csi.clean(); csi.close()")


@over("CSI: a node loses its power, and the volume moves to another", always=("lvm",))
def test_a_node_loses_its_power(
    cluster: Cluster, controller: Machine, node1: Machine, node2: Machine, backend: str
) -> None:
    lost, other = cluster.nodes
    kind = ARRAYS[backend].kind
    with lost.orchestrator() as python:
        python("csi.parameters = {'backend': backend}", backend=backend)
        python(_USE, name="moves")
        python("open(attachment.path, 'wb').truncate(256 << 20)")
        python(WRITER, pause=0.2)
        until(lambda: python("progress[0]") > 8, "writes begin")
        written = python("dict(written)")
        fields = python("[used['target_path'], used['staging_target_path'], csi.node_id]")
        node1.monitor("system_reset")
    target, staging, node_id = fields
    with other.orchestrator() as python:
        python("csi.parameters = {'backend': backend}", backend=backend)
        # The orchestrator knows that the node is off (Kubernetes: the taint out-of-service).
        python(
            """
            volume = csi.call('CreateVolume', name='moves', volume_capabilities=[mount()],
                              capacity_range=m.CapacityRange(required_bytes=GIB),
                              parameters=csi.parameters).volume
            csi.undo('DeleteVolume', volume.volume_id, volume_id=volume.volume_id)
            csi.call('ControllerUnpublishVolume', volume_id=volume.volume_id, node_id=lost)
            used = csi.use(volume)
            attachment = types.SimpleNamespace(path=used['target_path'] + '/file')
            import data
            """,
            lost=node_id,
        )
        for place, sha in written.items():
            found = python("data.read(attachment.path, 1, place)", place=int(place))
            assert found == sha
        python(WRITER, pause=0.2)
        _writes_go_on(python)

        node1.wait()
        lost.start()
        with lost.orchestrator() as returned:
            # What the kubelet does with a pod that was moved.
            returned(
                """
                csi.call('NodeUnpublishVolume', volume_id=volume_id, target_path=target)
                csi.call('NodeUnstageVolume', volume_id=volume_id, staging_target_path=staging)
                csi.call('ControllerUnpublishVolume', volume_id=volume_id, node_id=csi.node_id)
                csi.close()
                """,
                volume_id=python("volume.volume_id"),
                target=target,
                staging=staging,
            )
            assert returned("csi.node_id") == node_id
        assert not node1.inventory()[kind]
        _writes_go_on(python)
        python("stop.set(); writer.join()")
        assert python("failed") == []
        assert python("different()") == []
        written = python("dict(written)")
        # The node that was lost deletes it.
        python("csi.clean_node(volume); csi.close()")
    with lost.orchestrator() as python:
        python("csi.parameters = {'backend': backend}", backend=backend)
        # When the volume is detached, the node also removes the records of portals that it had
        # before it lost its power.
        python(_USE, name="moves")
        python("import data")
        for place in list(written)[-8:]:
            found = python("data.read(attachment.path, 1, place)", place=int(place))
            assert found == written[place]
        python("csi.clean(); csi.close()")


@shows("CSI: a disk disappears while it is mounted, and the volume is used again", "iSCSI")
def test_a_disk_disappears(cluster: Cluster, node1: Machine) -> None:
    node = cluster.nodes[0]
    with node.with_one_path(), node.orchestrator() as python:
        python(_USE, name="lost")
        python("import os; pathlib.Path(attachment.path).write_text('data'); os.sync()")
        staging = python("used['staging_target_path']")
        remove = (
            f"disk=$(findmnt --noheadings --output SOURCE {staging})"
            " && echo 1 >/sys/block/${disk#/dev/}/device/delete && [[ ! -e $disk ]]"
        )
        node1.run(remove)
        python("csi.clean_node(volume)")
        assert not node1.inventory()["SCSI devices"]
        read = "used = csi.use(volume); pathlib.Path(used['target_path'], 'file').read_text()"
        assert python(read) == "data"
        node1.run(remove)
        # The orchestrator stages it again, without a call that removes the old mount.
        python(
            """
            path = used['target_path']
            csi.call('NodeUnpublishVolume', volume_id=volume.volume_id, target_path=path)
            csi.call('NodeStageVolume', **{n: v for n, v in used.items()
                                           if n not in ('target_path', 'readonly')})
            csi.call('NodePublishVolume', **used)
            """
        )
        assert python("pathlib.Path(path, 'file').read_text()") == "data"
        python("csi.clean_node(volume); csi.clean(); csi.close()")
        assert not node1.inventory()["SCSI devices"]


@shows("CSI: LUKS: a filesystem and a device, data, extend", "iSCSI multipath")
def test_encrypted(cluster: Cluster, controller: Machine, node1: Machine, node2: Machine) -> None:
    cluster.controller.command("type create secret --encryption provider=luks2")
    one, two = cluster.nodes
    with one.orchestrator() as python:
        names = python(
            """
            import os
            csi.parameters = {'backend': 'lvm', 'type': 'secret'}
            files, device = csi.volume(), csi.volume(volume_capabilities=[block()])
            folder_of, device_of = csi.use(files), csi.use(device, block())
            text = b'clear text ' * 400
            def write(path):
                with open(path, 'r+b' if os.path.exists(path) else 'wb') as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            path = folder_of['target_path'] + '/file'
            write(path)
            write(device_of['target_path'])
            [files.volume_id, device.volume_id]
            """
        )
        assert node1.run("dmsetup ls --target crypt").count("crypt-") == 2
        assert active_paths(node1) == 4
        for name in names:
            backing = f"/dev/cinder-volumes/volume-{name}"
            assert (
                controller.run(f"cryptsetup isLuks --type luks2 {backing} && echo yes") == "yes\n"
            )
            found = f"dd if={backing} bs=1M iflag=direct status=none | grep -c 'clear text' || true"
            assert controller.run(found) == "0\n"
        python(
            """
            wanted = m.CapacityRange(required_bytes=2 * GIB)
            for each, used, kind in ((files, folder_of, mount()), (device, device_of, block())):
                csi.call('ControllerExpandVolume', volume_id=each.volume_id, capacity_range=wanted)
                csi.call('NodeExpandVolume', volume_id=each.volume_id, capacity_range=wanted,
                         volume_path=used['target_path'], volume_capability=kind)
            """
        )
        header = 16 << 20
        assert (
            node1.run("blockdev --getsize64 /dev/mapper/crypt-*").split()
            == [str(2 * GIB - header)] * 2
        )
        assert python("os.statvfs(folder_of['target_path']).f_blocks * 4096") > 1.8 * GIB
        python("csi.clean_node(files); csi.clean_node(device)")
        assert not node1.inventory()["device-mapper maps"]
        with two.orchestrator() as there:
            read = """
                found = types.SimpleNamespace(volume_id=volume_id, volume_context={})
                used = csi.use(found, mount() if kind == 'mount' else block())
                path = used['target_path'] + ('/file' if kind == 'mount' else '')
                same = open(path, 'rb').read(4400) == b'clear text ' * 400
                csi.clean_node(found)
                same
            """
            for kind, name in zip(("mount", "block"), names, strict=True):
                assert there(read, volume_id=name, kind=kind)
            there("csi.close()")
        python("csi.clean(); csi.close()")


@over("CSI: the conformance suite")
def test_the_conformance_suite(
    cluster: Cluster, backend: str, report: Callable[[str], None]
) -> None:
    _run_suite(cluster, backend, _FEW, report)


@pytest.mark.full
@over("CSI: the whole conformance suite: {part}", parts=_PARTS)
@pytest.mark.timeout(_SUITE)
def test_the_whole_conformance_suite(
    cluster: Cluster, backend: str, part: str, report: Callable[[str], None]
) -> None:
    _run_suite(cluster, backend, _PARTS[part], report)


def _run_suite(
    cluster: Cluster, backend: str, parts: tuple[str, str], report: Callable[[str], None]
) -> None:
    """Run a part of the suite on each node, at the same time."""
    with ThreadPoolExecutor() as threads:
        runs = [
            threads.submit(node.suite, backend, f"-v --durations=5 -k '{part}'")
            for node, part in zip(cluster.nodes, parts, strict=True)
        ]
    for each in runs:
        report(each.result().splitlines()[-1])


def _writes_go_on(python: Session) -> None:
    count = python("progress[0]")
    until(lambda: python("progress[0]") > count + 4, "writes go on")
