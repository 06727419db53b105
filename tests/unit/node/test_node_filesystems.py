"""Names of devices for /etc/fstab, with the links of a simulated udev."""

from __future__ import annotations

from pathlib import Path

import pytest

from cinderlib import errors
from cinderlib.node import filesystems
from cinderlib.node.filesystems import Filesystem, stable_name


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(filesystems, "_LINKS", tmp_path / "by-id")
    monkeypatch.setattr(filesystems, "_RBD", tmp_path / "rbd")
    device = tmp_path / "device"
    device.touch()
    (tmp_path / "other").touch()
    return device


def _link(path: Path, device: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(device)
    return str(path)


@pytest.mark.parametrize(
    "name",
    ["dm-uuid-mpath-36001405", "wwn-0x6001405", "nvme-uuid.1ab0", "nvme-eui.00", "scsi-36001405"],
)
def test_a_name_of_the_device_is_preferred(device: Path, name: str) -> None:
    links = device.parent / "by-id"
    _link(links / "wwn-0x1", device.parent / "other")
    _link(links / "virtio-serial", device)
    wanted = _link(links / name, device)
    assert stable_name(str(device), Filesystem("ext4", "uuid")) == wanted


def test_a_map_is_preferred_to_its_paths(device: Path) -> None:
    _link(device.parent / "by-id" / "wwn-0x6001405", device)
    wanted = _link(device.parent / "by-id" / "dm-uuid-mpath-36001405", device)
    assert stable_name(str(device), Filesystem("ext4", "uuid")) == wanted


def test_an_image_of_ceph(device: Path) -> None:
    wanted = _link(device.parent / "rbd" / "pool" / "an image", device)
    name = stable_name(str(device), Filesystem("ext4", "uuid"))
    assert name == wanted.replace(" ", r"\040")


def test_the_uuid_is_used_without_such_a_name(device: Path) -> None:
    assert stable_name(str(device), Filesystem("ext4", "1ab0")) == "UUID=1ab0"
    with pytest.raises(errors.InvalidState, match="no name"):
        stable_name(str(device), Filesystem("ext4"))


def test_a_file_that_is_not_readable_is_reported(tmp_path: Path) -> None:
    with pytest.raises(errors.CinderlibError):
        filesystems.filesystem(str(tmp_path / "missing"))
