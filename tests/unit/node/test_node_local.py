"""Files attached as real loop devices."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.node import Node, block, loop

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
    reason="needs root and the kernel's loop module (run as root, `modprobe loop`)",
)
Make = Callable[..., dict[str, Any]]


def _write(path: str, data: bytes) -> None:
    with open(path, "r+b") as device:
        device.write(data)
        device.flush()
        os.fsync(device.fileno())


def test_data_written_to_the_device_is_in_the_file(
    node: Node, volume: Make, tmp_path: Path
) -> None:
    connection = volume()
    attachment = node.attach(connection)
    assert attachment.path.startswith("/dev/loop")
    _write(attachment.path, b"hello")
    node.detach(connection)
    assert (tmp_path / "volume").read_bytes().startswith(b"hello")
    assert not loop.devices_of(loop.Source.of(str(tmp_path / "volume")))


def test_attach_and_detach_can_be_repeated(node: Node, volume: Make) -> None:
    connection = volume()
    made, again = node.attach(connection), node.attach(connection)
    assert made == again
    assert (made.changed, again.changed) == (True, False)
    assert node.detach(connection) is True
    assert node.detach(connection) is False


def test_the_document_with_the_device_is_sufficient_to_detach(
    node: Node, volume: Make, tmp_path: Path
) -> None:
    attachment = node.attach(volume())
    elsewhere = Node(state_path=tmp_path / "another state")
    elsewhere.detach(attachment.connection_info)
    assert loop.backing_file(attachment.path) is None
    node.detach(attachment.connection_info)


def test_the_connection_id_is_sufficient_in_a_new_process(
    node: Node, volume: Make, tmp_path: Path
) -> None:
    attachment = node.attach(volume(id="connection-1"))
    Node(state_path=tmp_path / "state").detach("connection-1")
    assert loop.backing_file(attachment.path) is None
    with pytest.raises(errors.ConnectionNotFound):
        node.detach("connection-1")


def test_a_reused_device_name_is_left_alone(node: Node, volume: Make, tmp_path: Path) -> None:
    first, second = volume("first"), volume("second")
    other = node.attach(second)
    node.detach(first, device={"path": other.path, "type": "local"})
    assert loop.backing_file(other.path) == str(tmp_path / "second")
    node.detach(second)


def test_read_only_refuses_writes(node: Node, volume: Make) -> None:
    connection = volume(attach_mode="ro")
    path = node.attach(connection).path
    with pytest.raises(OSError, match=r"not permitted|Read-only|Permission"):
        _write(path, b"x")
    with pytest.raises(errors.AlreadyExists) as raised:
        node.attach({**connection, "attach_mode": "rw"})
    assert raised.value.differences == {"attach_mode": ("ro", "rw")}
    node.detach(connection)


def test_a_block_device_is_used_directly_but_read_only_through_a_loop_device(
    node: Node, volume: Make
) -> None:
    below = volume()
    path = node.attach(below).path
    above = {"driver_volume_type": "local", "data": {"device_path": path}}
    assert node.attach(above).path == path
    node.detach(above)
    read_only = node.attach({"conn": above, "attach_mode": "ro"})
    assert read_only.path != path
    with pytest.raises(OSError, match=r"not permitted|Read-only|Permission"):
        _write(read_only.path, b"x")
    _write(path, b"the device itself stays writable")
    node.detach(read_only.connection_info)
    assert loop.backing_file(path)
    node.detach(below)


def test_extend_while_attached(node: Node, volume: Make, tmp_path: Path) -> None:
    connection = volume(id="grows", size=8 << 20)
    node.attach(connection)
    os.truncate(tmp_path / "volume", 16 << 20)
    assert node.extend(connection) == 16 << 20
    assert node.extend("grows") == 16 << 20
    node.detach("grows")
    with pytest.raises(errors.NotLocal):
        node.extend(connection)


def test_a_device_smaller_than_the_volume_is_refused(
    node: Node, volume: Make, tmp_path: Path
) -> None:
    connection = volume(size=8 << 20, volume={"id": "v", "size": 16 << 20})
    with pytest.raises(
        errors.DeviceUnavailable, match="8388608 bytes, but the volume has 16777216"
    ):
        node.attach(connection)
    assert not loop.devices_of(loop.Source.of(str(tmp_path / "volume")))
    assert not node.leftovers()


def test_a_mounted_device_is_not_removed(node: Node, volume: Make, tmp_path: Path) -> None:
    connection = volume(size=16 << 20)
    path = node.attach(connection).path
    subprocess.run(["mke2fs", "-q", "-F", path], check=True)
    mount = tmp_path / "mount"
    mount.mkdir()
    subprocess.run(["mount", path, mount], check=True)
    try:
        with pytest.raises(errors.DeviceInUse, match=str(mount)):
            node.detach(connection)
        assert os.path.ismount(mount)
    finally:
        subprocess.run(["umount", mount], check=True)
    node.detach(connection)


def test_ten_volumes_from_ten_threads(node: Node, volume: Make) -> None:
    connections = [volume(f"volume-{number}") for number in range(10)]
    with ThreadPoolExecutor(10) as pool:
        attachments = list(pool.map(node.attach, connections))
        assert len({attachment.path for attachment in attachments}) == 10
        assert len(node.attachments()) == 10
        list(pool.map(node.detach, connections))
    assert not node.attachments()


def test_one_volume_from_ten_threads_is_attached_once(node: Node, volume: Make) -> None:
    connection = volume()
    with ThreadPoolExecutor(10) as pool:
        paths = {a.path for a in pool.map(node.attach, [connection] * 10)}
    assert len(paths) == 1
    node.detach(connection)


def test_no_program_is_run(node: Node, volume: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(subprocess, "Popen")
    connection = volume()
    node.connector_properties("local")
    node.attach(connection)
    node.extend(connection)
    node.detach(connection)


def test_the_state_of_an_attachment_is_removed(node: Node, volume: Make, tmp_path: Path) -> None:
    connection = volume()
    node.attach(connection)
    (boot,) = (tmp_path / "state").iterdir()
    (entry,) = boot.iterdir()
    assert entry.stat().st_mode & 0o777 == 0o600
    assert boot.stat().st_mode & 0o777 == 0o700
    node.detach(connection)
    assert not list(boot.iterdir())


def test_direct_io_is_used_if_the_filesystem_supports_it(
    node: Node, volume: Make, tmp_path: Path
) -> None:
    plain = tmp_path / "without"
    plain.mkdir()
    subprocess.run(["mount", "-t", "ramfs", "ramfs", plain], check=True)
    try:
        for name, uses in (("volume", "1"), ("without/volume", "0")):
            connection = volume(name)
            attachment = node.attach(connection)
            folder = Path("/sys/block", os.path.basename(attachment.path))
            assert (folder / "loop/dio").read_text().strip() == uses
            _write(attachment.path, b"hello")
            node.detach(connection)
            assert (tmp_path / name).read_bytes().startswith(b"hello")
    finally:
        subprocess.run(["umount", plain], check=True)


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_kernels_without_loop_configure_need_two_steps(
    node: Node, volume: Make, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    real = fcntl.ioctl

    def before_linux_5_8(handle: int, request: int, argument: Any = 0) -> Any:
        if request == 0x4C0A:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(handle, request, argument)

    monkeypatch.setattr(fcntl, "ioctl", before_linux_5_8)
    connection = volume(attach_mode=mode)
    path = node.attach(connection).path
    assert block.is_read_only(path) is (mode == "ro")
    node.detach(connection)


def test_a_loop_device_taken_by_another_process_is_skipped(
    node: Node, volume: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebodys = node.attach(volume("first")).path
    real, free = loop._free, iter([somebodys])
    monkeypatch.setattr(loop, "_free", lambda: next(free, None) or real())
    assert node.attach(volume("second")).path != somebodys
    for name in ("first", "second"):
        node.detach(volume(name))


def test_a_device_is_removed_only_for_its_own_file(
    node: Node, volume: Make, tmp_path: Path
) -> None:
    connection = volume()
    path = node.attach(connection).path
    volume("other")
    loop.remove(path, loop.Source.of(str(tmp_path / "other")))
    assert loop.is_of(path, loop.Source.of(str(tmp_path / "volume")))
    node.detach(connection)


ELSEWHERE = """
import json, sys
from cinderlib.node import Node
attachment = Node(state_path=sys.argv[1]).attach(json.loads(sys.argv[2]))
print(json.dumps(attachment.device))
"""


def test_a_device_from_another_mount_namespace_is_recognized(
    node: Node, volume: Make, tmp_path: Path
) -> None:
    """The file has another path there, and the kernel shows that path here."""
    connection = volume("here/volume")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    there = {"driver_volume_type": "local", "data": {"device_path": f"{mounted}/volume"}}
    program = [sys.executable, "-c", ELSEWHERE, f"{tmp_path}/state", json.dumps(there)]
    made = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"'),
            *(f"{tmp_path}/here", str(mounted), *program),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    device = json.loads(made.stdout)
    assert loop.backing_file(device["path"]) != f"{tmp_path}/here/volume"
    again = node.attach({**connection, "device": device})
    assert (again.path, again.changed) == (device["path"], True)
    assert len(loop.devices_of(loop.Source.of(f"{tmp_path}/here/volume"))) == 1
    other = node.attach({**volume("other"), "device": device})
    assert other.path != device["path"], "the device of another file"
    node.detach(other.connection_info)
    node.detach({**connection, "device": device})


def _move(file: Path) -> None:
    file.parent.rename(file.parent.with_name("moved"))


def _replace(file: Path) -> None:
    file.with_name("new").write_bytes(bytes(8 << 20))
    file.with_name("new").replace(file)


@pytest.mark.parametrize("becomes", [_move, Path.unlink, _replace])
@pytest.mark.parametrize("knows", ["the host", "the store"])
def test_a_device_is_removed_after_its_file_was_moved_or_replaced(
    node: Node, volume: Make, tmp_path: Path, becomes: Callable[[Path], Any], knows: str
) -> None:
    connection = volume("folder/volume", id="c")
    attachment = node.attach(connection)
    file = tmp_path / "folder/volume"
    becomes(file)
    (tmp_path / "folder").mkdir(exist_ok=True)
    others = []
    if becomes is _replace:
        others = [loop.create(str(file), read_only=False)]
    if knows == "the store":
        node = Node(state_path=tmp_path / "another state")
    node.detach(attachment.connection_info)
    assert loop.backing_file(attachment.path) is None
    for other in others:
        assert loop.backing_file(other) == str(file)
        loop.remove(other, loop.Source.of(str(file)))


def test_a_changed_symbolic_link_does_not_matter(node: Node, volume: Make, tmp_path: Path) -> None:
    volume("first/volume"), volume("second/volume")
    link = tmp_path / "link"
    link.symlink_to("first")
    data = {"device_path": f"{link}/volume"}
    connection = {"conn": {"driver_volume_type": "local", "data": data}, "id": "c"}
    path = node.attach(connection).path
    link.unlink()
    link.symlink_to("second")
    assert node.detach(connection)
    assert loop.backing_file(path) is None
    assert not node.attachments()


def test_an_unwritable_file_is_refused(node: Node, volume: Make, tmp_path: Path) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    connection = volume("read-only/volume")
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        with pytest.raises(errors.DeviceUnavailable, match="Read-only file system"):
            node.attach(connection)
        read_only = {**connection, "attach_mode": "ro"}
        assert block.is_read_only(node.attach(read_only).path)
        node.detach(read_only)
    finally:
        subprocess.run(["umount", folder], check=True)
    assert not node.leftovers()


def test_other_files_are_not_opened(tmp_path: Path) -> None:
    """A named pipe would wait for another process."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    for path in ("pipe", "file", "missing"):
        assert not loop.is_of(f"{tmp_path}/{path}", loop.Source.of(f"{tmp_path}/file"))
    assert not loop.is_of("/dev/zero", loop.Source.of(f"{tmp_path}/file"))


def test_devices_are_compared_without_sysfs(
    node: Node, volume: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes ten times as long as to ask the device, and hosts can have thousands of devices."""
    connection, other = volume("a"), volume("b")
    node.attach(connection)
    node.attach(other)
    read: list[str] = []
    monkeypatch.setattr(block, "read", lambda path: read.append(str(path)))
    assert len(loop.devices_of(loop.Source.of(f"{tmp_path}/a"))) == 1
    assert len(read) <= 1, "more than the number of the device that was found"
    monkeypatch.undo()
    node.detach(connection)
    node.detach(other)
