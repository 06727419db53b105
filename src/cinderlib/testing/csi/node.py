"""Tests of the service Node, with real mounts and devices of this host."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import CODE, MODE, Plugin, block, mount
from cinderlib.testing.csi.volumes import UNKNOWN, csi_needs


class NodeTests:
    """NodeStageVolume ... NodeExpandVolume."""

    # --- missing and invalid arguments ----------------------------------------------------------

    @pytest.mark.parametrize(
        "missing", ["volume_id", "staging_target_path", "volume_capability", "publish_context"]
    )
    def test_stage_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        csi_needs(csi, "STAGE_UNSTAGE_VOLUME")
        volume = csi.volume()
        fields = {
            "volume_id": volume.volume_id,
            "publish_context": csi.publish(volume, mount()),
            "staging_target_path": csi.staging(volume),
            "volume_capability": mount(),
        }
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "NodeStageVolume", **fields)

    @pytest.mark.parametrize("missing", ["volume_id", "staging_target_path"])
    def test_unstage_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        csi_needs(csi, "STAGE_UNSTAGE_VOLUME")
        fields = {"volume_id": UNKNOWN, "staging_target_path": str(csi.folder)}
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "NodeUnstageVolume", **fields)

    @pytest.mark.parametrize("missing", ["volume_id", "target_path", "volume_capability"])
    def test_publish_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        fields = {
            "volume_id": UNKNOWN,
            "target_path": str(csi.folder / "target"),
            "volume_capability": mount(),
            "staging_target_path": str(csi.folder),
        }
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "NodePublishVolume", **fields)

    def test_publish_without_a_staging_path(self, csi: Plugin) -> None:
        csi_needs(csi, "STAGE_UNSTAGE_VOLUME")
        volume = csi.volume()
        staged = csi.stage(volume, mount(), csi.publish(volume, mount()))
        del staged["staging_target_path"]
        target = csi.target(volume)
        csi.refused(CODE.FAILED_PRECONDITION, "NodePublishVolume", **staged, target_path=target)

    @pytest.mark.parametrize("missing", ["volume_id", "target_path"])
    def test_unpublish_with_a_missing_field(self, csi: Plugin, missing: str) -> None:
        fields = {"volume_id": UNKNOWN, "target_path": str(csi.folder / "target")}
        del fields[missing]
        csi.refused(CODE.INVALID_ARGUMENT, "NodeUnpublishVolume", **fields)

    @pytest.mark.parametrize("method", ["NodeGetVolumeStats", "NodeExpandVolume"])
    def test_an_unknown_volume(self, csi: Plugin, method: str) -> None:
        csi_needs(csi, "GET_VOLUME_STATS", "EXPAND_VOLUME")
        path = str(csi.folder)
        csi.refused(CODE.INVALID_ARGUMENT, method, volume_path=path)
        csi.refused(CODE.INVALID_ARGUMENT, method, volume_id=UNKNOWN)
        csi.refused(CODE.NOT_FOUND, method, volume_id=UNKNOWN, volume_path=path)
        used = csi.use(csi.volume())
        csi.refused(CODE.NOT_FOUND, method, volume_id=used["volume_id"], volume_path=path)

    # --- the whole way --------------------------------------------------------------------------

    @pytest.mark.parametrize("filesystem", ["", "ext4", "xfs", "btrfs"])
    def test_a_filesystem_keeps_its_data(self, csi: Plugin, filesystem: str) -> None:
        needs_filesystem(csi, filesystem)
        volume = csi.volume()
        used = csi.use(volume, mount(filesystem=filesystem))
        Path(used["target_path"], "file").write_text("data")
        csi.clean_node(volume)
        again = csi.use(volume, mount(filesystem=filesystem))
        assert Path(again["target_path"], "file").read_text() == "data"

    def test_a_device_keeps_its_data(self, csi: Plugin) -> None:
        volume = csi.volume(volume_capabilities=[block()])
        used = csi.use(volume, block())
        assert stat.S_ISBLK(os.stat(used["target_path"]).st_mode)
        with open(used["target_path"], "r+b") as device:
            device.write(b"data")
        csi.clean_node(volume)
        with open(csi.use(volume, block())["target_path"], "rb") as device:
            assert device.read(4) == b"data"

    @pytest.mark.parametrize("capability", [mount(), block()], ids=["mount", "block"])
    def test_each_call_can_be_repeated(self, csi: Plugin, capability: Any) -> None:
        volume = csi.volume(volume_capabilities=[capability])
        context = csi.publish(volume, capability)
        staged = csi.stage(volume, capability, context)
        shown = csi.show(staged, csi.target(volume))
        id = {"volume_id": volume.volume_id}
        for _ in range(csi.repeats):
            csi.call("NodeStageVolume", **staged)
            csi.call("NodePublishVolume", **shown)
        assert _mounts(shown["target_path"]) == 1
        target, path = shown["target_path"], staged["staging_target_path"]
        csi.repeat("NodeUnpublishVolume", **id, target_path=target)
        assert not os.path.lexists(target)
        csi.repeat("NodeUnstageVolume", **id, staging_target_path=path)
        assert not _mounts(path)

    def test_the_whole_way_several_times(self, csi: Plugin) -> None:
        volume = csi.volume()
        for _ in range(csi.repeats):
            csi.use(volume)
            csi.clean_node(volume)

    def test_two_targets(self, csi: Plugin) -> None:
        volume = csi.volume()
        capability = mount(MODE.SINGLE_NODE_MULTI_WRITER)
        csi_needs(csi, "SINGLE_NODE_MULTI_WRITER")
        staged = csi.stage(volume, capability, csi.publish(volume, capability))
        one = csi.show(staged, csi.target(volume, 1))
        two = csi.show(staged, csi.target(volume, 2), readonly=True)
        Path(one["target_path"], "file").write_text("data")
        assert Path(two["target_path"], "file").read_text() == "data"
        with pytest.raises(OSError, match="Read-only"):
            Path(two["target_path"], "other").touch()

    def test_a_single_writer(self, csi: Plugin) -> None:
        csi_needs(csi, "SINGLE_NODE_MULTI_WRITER")
        volume = csi.volume()
        capability = mount(MODE.SINGLE_NODE_SINGLE_WRITER)
        staged = csi.stage(volume, capability, csi.publish(volume, capability))
        csi.show(staged, csi.target(volume, 1))
        other = {**staged, "target_path": csi.target(volume, 2)}
        csi.refused(CODE.FAILED_PRECONDITION, "NodePublishVolume", **other)

    @pytest.mark.parametrize(
        "capability", [mount(MODE.SINGLE_NODE_READER_ONLY), block(MODE.SINGLE_NODE_READER_ONLY)]
    )
    def test_a_reader_cannot_write(self, csi: Plugin, capability: Any) -> None:
        volume = csi.volume()
        csi.use(volume)
        csi.clean_node(volume)
        used = csi.use(volume, capability, readonly=True)
        path = used["target_path"]
        with pytest.raises(OSError, match=r"Read-only|not permitted"):
            if os.path.isdir(path):
                Path(path, "file").touch()
            else:
                _write(path)

    def test_a_group_can_write(self, csi: Plugin) -> None:
        csi_needs(csi, "VOLUME_MOUNT_GROUP")
        volume = csi.volume()
        for group in (4321, 4322):
            used = csi.use(volume, mount(group=str(group)))
            target = Path(used["target_path"])
            assert os.stat(target).st_gid == group
            new = target / str(group)
            new.mkdir(mode=0o700)
            (new / "file").touch(mode=0o600)
            (new / "link").symlink_to("/etc/passwd")
            # The second group gets the files of the first one too.
            for each in [each for each in target.rglob("*") if each.name != "lost+found"]:
                assert os.lstat(each).st_gid == group
            csi.call("NodePublishVolume", **used)
            csi.clean_node(volume)
        assert os.stat("/etc/passwd").st_gid == 0

    @pytest.mark.parametrize("group", ["x", "-1", "4294967295", "1" * 5000])
    def test_a_group_that_does_not_exist(self, csi: Plugin, group: str) -> None:
        csi_needs(csi, "VOLUME_MOUNT_GROUP")
        volume = csi.volume()
        staged = csi.stage(volume, mount(), csi.publish(volume, mount()))
        fields = {**staged, "volume_capability": mount(group=group)}
        csi.refused(CODE.INVALID_ARGUMENT, "NodeStageVolume", **fields)
        target = csi.target(volume)
        csi.refused(CODE.INVALID_ARGUMENT, "NodePublishVolume", **fields, target_path=target)

    # --- incompatible requests ------------------------------------------------------------------

    def test_stage_with_another_filesystem(self, csi: Plugin) -> None:
        csi_needs(csi, "STAGE_UNSTAGE_VOLUME")
        volume = csi.volume()
        staged = csi.stage(volume, mount(filesystem="ext4"), csi.publish(volume, mount()))
        other = {**staged, "volume_capability": mount(filesystem="xfs")}
        csi.refused(CODE.ALREADY_EXISTS, "NodeStageVolume", **other)
        other = {**staged, "volume_capability": block()}
        csi.refused(CODE.ALREADY_EXISTS, "NodeStageVolume", **other)

    def test_publish_in_another_way(self, csi: Plugin) -> None:
        used = csi.use(csi.volume())
        csi.refused(CODE.ALREADY_EXISTS, "NodePublishVolume", **{**used, "readonly": True})

    def test_publish_before_stage(self, csi: Plugin) -> None:
        csi_needs(csi, "STAGE_UNSTAGE_VOLUME")
        volume = csi.volume()
        csi.refused(
            CODE.FAILED_PRECONDITION,
            "NodePublishVolume",
            volume_id=volume.volume_id,
            publish_context=csi.publish(volume, mount()),
            staging_target_path=csi.staging(volume),
            target_path=csi.target(volume),
            volume_capability=mount(),
        )

    def test_unstage_while_published(self, csi: Plugin) -> None:
        csi_needs(csi, "STAGE_UNSTAGE_VOLUME")
        used = csi.use(csi.volume())
        Path(used["target_path"], "file").touch()
        fields = {key: used[key] for key in ("volume_id", "staging_target_path")}
        csi.refused(CODE.FAILED_PRECONDITION, "NodeUnstageVolume", **fields)
        assert Path(used["target_path"], "file").exists()

    # --- while it is used -----------------------------------------------------------------------

    @pytest.mark.parametrize("capability", [mount(), block()], ids=["mount", "block"])
    def test_stats(self, csi: Plugin, capability: Any) -> None:
        csi_needs(csi, "GET_VOLUME_STATS")
        volume = csi.volume(volume_capabilities=[capability])
        used = csi.use(volume, capability)
        answer = csi.call(
            "NodeGetVolumeStats", volume_id=volume.volume_id, volume_path=used["target_path"]
        )
        (size,) = [each for each in answer.usage if each.unit == m.VolumeUsage.BYTES]
        assert 0 < size.total <= volume.capacity_bytes
        assert not answer.volume_condition.abnormal

    @pytest.mark.parametrize(
        "capability",
        [mount(filesystem="ext4"), mount(filesystem="xfs"), mount(filesystem="btrfs"), block()],
        ids=["ext4", "xfs", "btrfs", "block"],
    )
    def test_expand_while_it_is_used(self, csi: Plugin, capability: Any) -> None:
        csi_needs(csi, "EXPAND_VOLUME")
        needs_filesystem(csi, capability.mount.fs_type)
        if capability.mount.fs_type == "ext4" and not may_resize_ext4():
            pytest.skip("the kernel extends a mounted ext4 only for CAP_SYS_RESOURCE")
        volume = csi.volume(volume_capabilities=[capability])
        used = csi.use(volume, capability)
        size = m.CapacityRange(required_bytes=3 * csi.size)
        csi.call("ControllerExpandVolume", volume_id=volume.volume_id, capacity_range=size)
        answer = csi.repeat(
            "NodeExpandVolume",
            volume_id=volume.volume_id,
            volume_path=used["target_path"],
            staging_target_path=used["staging_target_path"],
            capacity_range=size,
            volume_capability=capability,
        )
        assert answer.capacity_bytes >= 3 * csi.size
        stats = csi.call(
            "NodeGetVolumeStats", volume_id=volume.volume_id, volume_path=used["target_path"]
        )
        (found,) = [each for each in stats.usage if each.unit == m.VolumeUsage.BYTES]
        assert found.total > 2.5 * csi.size

    def test_expand_on_the_node_first(self, csi: Plugin) -> None:
        csi_needs(csi, "EXPAND_VOLUME")
        used = csi.use(csi.volume())
        csi.refused(
            CODE.OUT_OF_RANGE,
            "NodeExpandVolume",
            volume_id=used["volume_id"],
            volume_path=used["target_path"],
            capacity_range=m.CapacityRange(required_bytes=3 * csi.size),
        )

    def test_expand_with_another_capability(self, csi: Plugin) -> None:
        csi_needs(csi, "EXPAND_VOLUME")
        used = csi.use(csi.volume())
        fields = {"volume_id": used["volume_id"], "volume_path": used["target_path"]}
        fields["volume_capability"] = block()
        csi.refused(CODE.INVALID_ARGUMENT, "NodeExpandVolume", **fields)

    @pytest.mark.parametrize("filesystem", ["ext4", "xfs", "btrfs"])
    def test_a_larger_volume_from_a_snapshot(self, csi: Plugin, filesystem: str) -> None:
        """The larger size and the data; for xfs and ext4 on the same node as the source."""
        csi_needs(csi, "CREATE_DELETE_SNAPSHOT")
        needs_filesystem(csi, filesystem)
        volume, capability = csi.volume(), mount(filesystem=filesystem)
        used = csi.use(volume, capability)
        with Path(used["target_path"], "file").open("w") as file:
            file.write("data")
            file.flush()
            os.fsync(file)
        source = m.VolumeContentSource()
        source.snapshot.snapshot_id = csi.snapshot(volume.volume_id).snapshot_id
        if filesystem == "btrfs":
            csi.clean_node(volume)
        size = m.CapacityRange(required_bytes=3 * csi.size)
        copy = csi.volume(volume_content_source=source, capacity_range=size)
        shown = csi.use(copy, capability)
        assert Path(shown["target_path"], "file").read_text() == "data"
        found = os.statvfs(shown["target_path"])
        assert found.f_blocks * found.f_frsize > 2.5 * csi.size


def _write(path: str) -> None:
    with open(path, "r+b", buffering=0) as device:
        device.write(b"x" * 4096)
        os.fsync(device)


def needs_filesystem(csi: Plugin, filesystem: str) -> None:
    """Skip a test if the host of the node cannot use a filesystem."""
    if filesystem and filesystem not in csi.filesystems:
        pytest.skip(f"the host of the node has no {filesystem}")


def may_resize_ext4() -> bool:
    """Whether this process may extend a mounted ext4: the kernel demands CAP_SYS_RESOURCE."""
    (line,) = [
        each for each in Path("/proc/self/status").read_text().splitlines() if "CapEff" in each
    ]
    return bool(int(line.split()[1], 16) >> 24 & 1)


def _mounts(path: str) -> int:
    """The number of mounts at a path."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sum(line.split(" ")[4] == path for line in lines)
