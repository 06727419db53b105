"""Filesystems that a workload lost: their disk disappeared, or the kernel refuses writes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator

import plugins
import pytest

from cinderlib.testing.csi.plugin import CODE, Plugin, mount

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="loop devices and mounts need root"),
]

#: Hides a block device from a program, as if the kernel had removed it. The first argument is the
#: number of the device, the second one an empty folder.
_HIDE = """
    cp -a /sys/dev/block/. "$2"
    rm "$2/$1"
    mount --make-private /sys
    mount --bind "$2" /sys/dev/block
    shift 2
    exec "$@"
"""


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    plugins.prepare(tmp_path)
    return tmp_path


@pytest.fixture
def paths() -> Iterator[pathlib.Path]:
    """A folder whose mounts other mount namespaces share, as the kubelet's."""
    with tempfile.TemporaryDirectory(prefix="csi-") as path:
        subprocess.run(["mount", "--bind", path, path], check=True)
        subprocess.run(["mount", "--make-shared", path], check=True)
        yield pathlib.Path(path)
        subprocess.run(["umount", path], check=True)


@pytest.fixture
def other_disk(tmp_path: pathlib.Path) -> Iterator[str]:
    """A disk with a filesystem."""
    image = tmp_path / "other"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    command = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    yield device
    subprocess.run(["losetup", "--detach", device], check=True)


def test_the_mount_of_a_disk_that_disappeared_is_replaced(
    folder: pathlib.Path, paths: pathlib.Path, other_disk: str
) -> None:
    """The session of an initiator ended, and the next one has another device for the same LUN."""
    process = plugins.Process(folder)
    process.start()
    csi = Plugin(process.endpoint, paths)
    volume = csi.volume()
    used = csi.use(volume)
    pathlib.Path(used["target_path"], "file").write_text("data")
    staged, target = used["staging_target_path"], used["target_path"]
    for path in (target, staged):
        subprocess.run(["umount", path], check=True)
        subprocess.run(["mount", other_disk, path], check=True)
    # The other disk exists: nothing may be unmounted.
    fields = {"volume_id": volume.volume_id}
    csi.refused(CODE.FAILED_PRECONDITION, "NodeUnpublishVolume", **fields, target_path=target)
    csi.refused(CODE.FAILED_PRECONDITION, "NodeUnstageVolume", **fields, staging_target_path=staged)
    assert os.path.ismount(target)
    assert os.path.ismount(staged)
    process.stop()
    number = os.stat(other_disk).st_rdev
    (folder / "kernel").mkdir()
    blind = plugins.Process(
        folder,
        before=(
            *("unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", _HIDE, "sh"),
            *(f"{os.major(number)}:{os.minor(number)}", str(folder / "kernel")),
        ),
    )
    blind.start()
    csi.call("NodeUnpublishVolume", **fields, target_path=target)
    assert not os.path.exists(target)
    context = csi.publish(volume, mount())
    csi.stage(volume, mount(), context)
    assert pathlib.Path(staged, "file").read_text() == "data"
    subprocess.run(["umount", staged], check=True)
    subprocess.run(["mount", other_disk, staged], check=True)
    csi.call("NodeUnstageVolume", **fields, staging_target_path=staged)
    assert not os.path.ismount(staged)
    blind.stop()
    process.start()
    csi.clean()
    csi.close()
    process.stop()


def test_a_filesystem_that_refuses_writes_after_an_error_is_checked_and_mounted_again(
    folder: pathlib.Path, paths: pathlib.Path
) -> None:
    process = plugins.Process(folder)
    process.start()
    csi = Plugin(process.endpoint, paths)
    volume = csi.volume()
    context = csi.publish(volume, mount())
    used = csi.use(volume)
    staged, target = used["staging_target_path"], used["target_path"]
    pathlib.Path(target, "file").write_text("data")
    os.sync()
    subprocess.run(["mount", "--options", "remount,abort", staged], check=True)
    with pytest.raises(OSError, match="Read-only"):
        pathlib.Path(target, "file").write_text("more")
    fields = {"volume_id": volume.volume_id}
    stats = csi.call("NodeGetVolumeStats", **fields, volume_path=target)
    assert "read-only after an error" in stats.volume_condition.message
    stage = {"volume_capability": mount(), "publish_context": context}
    stage |= {**fields, "staging_target_path": staged}
    # A workload uses it: its open files would stay broken.
    message = csi.refused(CODE.FAILED_PRECONDITION, "NodeStageVolume", **stage)
    assert "the kernel refuses writes after an error" in message
    assert target in message
    csi.call("NodeUnpublishVolume", **fields, target_path=target)
    csi.call("NodeStageVolume", **stage)
    csi.show(used, target)
    assert pathlib.Path(target, "file").read_text() == "data"
    pathlib.Path(target, "file").write_text("more")
    stats = csi.call("NodeGetVolumeStats", **fields, volume_path=target)
    assert not stats.volume_condition.abnormal
    csi.clean_node(volume)
    csi.clean()
    csi.close()
    process.stop()
