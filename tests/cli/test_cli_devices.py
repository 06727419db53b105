"""Listings check the state of the devices that they show."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import control_groups
import pytest
from cli.command import Command
from control_groups import UNLIMITED, limits

import cinderlib as cl
from cinderlib.node import cgroups, loop

pytestmark = [
    pytest.mark.alone(reason="chooses the device by replacing a function in this process"),
    pytest.mark.skipif(
        os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
        reason="needs root and the kernel's loop module (run as root, `modprobe loop`)",
    ),
]


#: Requests of /dev/loop-control (linux/loop.h).
ADD, REMOVE = 0x4C80, 0x4C81


@pytest.fixture
def own_device() -> Iterator[str]:
    """A free loop device whose number the kernel gives to no other process."""
    number = 10_000 + os.getpid()
    with open("/dev/loop-control", "rb") as control:
        fcntl.ioctl(control, ADD, number)
        yield f"/dev/loop{number}"
        fcntl.ioctl(control, REMOVE, number)


@pytest.fixture
def attached(cinderlib: Command, own_device: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The device of a volume ``data``."""
    cinderlib("volume", "create", "data", "1GiB")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_free", lambda: own_device)
        device = cinderlib("volume", "attach", "data").line
    assert device == own_device
    yield device
    cinderlib("volume", "detach", "data", "--force", "--yes")
    cinderlib("volume", "delete", "data", "--yes")


def file_of(cinderlib: Command) -> loop.Source:
    (volume,) = cinderlib.volumes.glob("volume-*")
    source = loop.Source.of(str(volume))
    assert source is not None
    return source


def states(cinderlib: Command) -> tuple[list[str], set[str]]:
    """The states of the device in the listings, for people and for programs."""
    connection = cinderlib("connection", "list", "--json").json[0]["id"]
    texts = [
        cinderlib("node", "list").stdout,
        cinderlib("connection", "list").stdout,
        cinderlib("connection", "show", connection).stdout,
        cinderlib("volume", "show", "data").stdout,
    ]
    fields = {
        cinderlib("node", "list", "--json").json[0]["state"],
        cinderlib("connection", "list", "--json").json[0]["device_state"],
        cinderlib("connection", "show", connection, "--json").json["device_state"],
        cinderlib("volume", "show", "data", "--json").json["connections"][0]["device_state"],
    }
    return texts, fields


def test_an_attached_device(cinderlib: Command, attached: str) -> None:
    texts, fields = states(cinderlib)
    assert fields == {"ok"}
    assert all(attached in text and f"{attached} (" not in text for text in texts)


def test_a_missing_device(cinderlib: Command, attached: str) -> None:
    loop.remove(attached, file_of(cinderlib))
    texts, fields = states(cinderlib)
    assert fields == {"gone"}
    assert all(f"{attached} (gone)" in text for text in texts)


def test_a_device_name_that_another_device_uses_now(
    cinderlib: Command, attached: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listings report it, and attach and detach do not touch the other device."""
    loop.remove(attached, file_of(cinderlib))
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    free = loop._free
    monkeypatch.setattr(loop, "_free", lambda: attached)
    assert loop.create(str(image), read_only=False) == attached
    monkeypatch.setattr(loop, "_free", free)
    try:
        texts, fields = states(cinderlib)
        assert fields == {"another"}
        assert all(f"{attached} (another device)" in text for text in texts)
        with cl.Controller(
            {"storage": "db", "connection": f"sqlite:///{tmp_path}/state/metadata.sqlite"},
            state_path=tmp_path / "state",
        ) as controller:
            (connection,) = controller.connections()
            assert connection.device_state == "another"
        again = cinderlib("volume", "attach", "data").line
        assert again != attached
        assert states(cinderlib)[1] == {"ok"}
        cinderlib("volume", "detach", "data")
        assert loop.backing_file(attached) == str(image)
        cinderlib("volume", "attach", "data")
    finally:
        source = loop.Source.of(str(image))
        assert source is not None
        loop.remove(attached, source)


def test_limits_of_a_control_group(
    cinderlib: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "MOUNTS", cgroups.MOUNTS)
    control_groups.accept(tmp_path)
    group = control_groups.make(tmp_path / "group")
    specs = ("--qos-spec", "consumer=front-end", "--qos-spec", "read_iops_sec=100")
    cinderlib("type", "create", "limited", *specs)
    cinderlib("volume", "create", "data", "1GiB", "--type", "limited", "--backend", "files")
    refused = cinderlib("volume", "attach", "data", "--cgroup", "/proc", ends=2).stderr
    assert "'/proc' is not a control group of cgroup v2" in refused
    with_host = ("--cgroup", str(group), "--host", "other")
    assert "cannot be combined" in cinderlib("volume", "attach", "data", *with_host, ends=2).stderr
    attach = cinderlib("volume", "attach", "data", "--cgroup", str(group), "--json").json
    assert attach["qos_specs"] == {"read_iops_sec": "100"}
    assert limits(group) == "rbps=max wbps=max riops=100 wiops=max"
    (listed,) = cinderlib("node", "list", "--json").json
    assert (listed["cgroup"], listed["qos_specs"]) == (str(group), attach["qos_specs"])
    cinderlib("volume", "detach", "data")
    assert limits(group) == UNLIMITED

    connector = tmp_path / "connector"
    connector.write_text(cinderlib("node", "connector").stdout)
    document = tmp_path / "document"
    document.write_text(
        cinderlib("volume", "connect", "data", "--connector", str(connector)).stdout
    )
    document.chmod(0o600)
    node = cinderlib("node", "attach", str(document), "--cgroup", str(group), "--json").json
    assert (node["cgroup"], "riops=100" in limits(group)) == (str(group), True)
    cinderlib("node", "detach", node["path"])
    assert limits(group) == UNLIMITED
