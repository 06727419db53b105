"""Leftovers of killed processes and their cleanup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.node import Node, loop

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
    reason="needs root and the kernel's loop module (run as root, `modprobe loop`)",
)
Make = Callable[..., dict[str, Any]]

_KILLED = """
import json, os, signal, sys
from cinderlib.node import Node
from cinderlib.node.local import LocalConnector

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

state, connection, call, where = sys.argv[1:]
node = Node(state_path=state)
if call == "detach":
    node.attach(json.loads(connection))
setattr(LocalConnector, where, die)
getattr(node, call)(json.loads(connection))
"""


def _killed(state: Path, connection: dict[str, Any], call: str, where: str) -> None:
    """Run a process that kills itself at a step."""
    argv = [sys.executable, "-c", _KILLED, str(state), json.dumps(connection), call, where]
    done = subprocess.run(argv, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("call", "where", "device_is_left"),
    [
        ("attach", "attach", False),
        ("attach", "protect", True),
        ("attach", "traces", True),
        ("detach", "detach", True),
        ("detach", "remains", False),
    ],
)
class TestKilled:
    @pytest.fixture
    def connection(
        self, volume: Make, tmp_path: Path, call: str, where: str, device_is_left: bool
    ) -> dict[str, Any]:
        """A connection whose call was killed."""
        connection = volume(id="connection-1")
        _killed(tmp_path / "state", connection, call, where)
        return connection

    def test_leftovers_are_found_and_removed(
        self,
        node: Node,
        connection: dict[str, Any],
        tmp_path: Path,
        call: str,
        device_is_left: bool,
    ) -> None:
        assert bool(loop.devices_of(loop.Source.of(str(tmp_path / "volume")))) is device_is_left
        (leftover,) = node.leftovers()
        assert leftover.connection_id == "connection-1"
        assert leftover.operation == f"{call}ing"
        assert (leftover.device is not None) is device_is_left
        assert node.cleanup() == [leftover]
        assert not loop.devices_of(loop.Source.of(str(tmp_path / "volume")))
        assert not node.leftovers()

    def test_the_next_attach_takes_over(
        self, node: Node, connection: dict[str, Any], tmp_path: Path
    ) -> None:
        attachment = node.attach(connection)
        assert len(loop.devices_of(loop.Source.of(str(tmp_path / "volume")))) == 1
        assert not node.leftovers()
        node.detach(attachment.connection_info)

    def test_the_next_detach_takes_over(
        self, node: Node, connection: dict[str, Any], tmp_path: Path
    ) -> None:
        node.detach(connection)
        assert not loop.devices_of(loop.Source.of(str(tmp_path / "volume")))
        assert not node.leftovers()


def test_other_devices_are_left_alone(node: Node, volume: Make, tmp_path: Path) -> None:
    connection = volume()
    somebody = loop.create(str(tmp_path / "volume"), read_only=False)
    try:
        _killed(tmp_path / "state", connection, "attach", "protect")
        assert len(loop.devices_of(loop.Source.of(str(tmp_path / "volume")))) == 2
        (leftover,) = node.cleanup()
        assert leftover.device != somebody
        assert [
            f"/dev/{t.name}" for t in loop.devices_of(loop.Source.of(str(tmp_path / "volume")))
        ] == [somebody]
    finally:
        loop.remove(somebody, loop.Source.of(str(tmp_path / "volume")))


def test_a_leftover_in_use_is_kept(node: Node, volume: Make, tmp_path: Path) -> None:
    connection = volume(size=16 << 20)
    _killed(tmp_path / "state", connection, "attach", "protect")
    (leftover,) = node.leftovers()
    assert leftover.device
    subprocess.run(["mke2fs", "-q", "-F", leftover.device], check=True)
    mount = tmp_path / "mount"
    mount.mkdir()
    subprocess.run(["mount", leftover.device, mount], check=True)
    try:
        (leftover,) = node.leftovers()
        assert str(mount) in leftover.users[0]
        assert node.cleanup() == []
    finally:
        subprocess.run(["umount", mount], check=True)
    assert len(node.cleanup()) == 1


def test_a_complete_attachment_is_not_a_leftover(node: Node, volume: Make, tmp_path: Path) -> None:
    connection = volume()
    attachment = node.attach(connection)
    again = Node(state_path=tmp_path / "state")
    assert again.leftovers() == []
    assert again.attachments() == [attachment]
    again.detach(connection)


def test_entries_of_an_earlier_boot_are_removed(node: Node, volume: Make, tmp_path: Path) -> None:
    connection = volume(id="before")
    attachment = node.attach(connection)
    loop.remove(attachment.path, loop.Source.of(str(tmp_path / "volume")))
    (boot,) = (tmp_path / "state").iterdir()
    boot.rename(boot.with_name("boot-00000000-0000-0000-0000-000000000000"))
    keep = tmp_path / "state" / "00000000-0000-0000-0000-000000000000"
    keep.mkdir()
    restarted = Node(state_path=tmp_path / "state")
    assert restarted.attachments() == []
    assert restarted.leftovers() == []
    with pytest.raises(errors.ConnectionNotFound):
        restarted.detach("before")
    restarted.detach(attachment.connection_info)
    restarted.detach(restarted.attach(connection).connection_info)
    assert sorted(f.name for f in (tmp_path / "state").iterdir()) == sorted([boot.name, keep.name])


def test_a_removed_device_is_attached_again(node: Node, volume: Make, tmp_path: Path) -> None:
    connection, file = volume(), str(tmp_path / "volume")
    loop.remove(node.attach(connection).path, loop.Source.of(file))
    path = node.attach(connection).path
    assert loop.backing_file(path)
    loop.remove(path, loop.Source.of(file))
    node.detach(connection)


def test_an_open_device_is_reported_and_removed_later(
    node: Node, volume: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connection = volume()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_GONE_TIMEOUT", 0.05)
        with open(node.attach(connection).path, "rb"), pytest.raises(errors.LeftoverDevice):
            node.detach(connection)
    node.detach(connection)
    assert not loop.devices_of(loop.Source.of(str(tmp_path / "volume")))
    assert not node.attachments()
