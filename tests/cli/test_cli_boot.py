"""Volumes that a host attaches again after each boot."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.command import Command

from cinderlib.node import loop

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
    reason="needs root and the kernel's loop module (run as root, `modprobe loop`)",
)


@pytest.fixture
def volume(cinderlib: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The ID of a volume ``data``, which may be attached."""
    id = cinderlib("volume", "create", "data", "16MiB").line
    yield id
    cinderlib("volume", "detach", "data", "--force", "--yes")
    cinderlib("volume", "delete", "data", "--yes")


def boot(cinderlib: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a boot does: devices disappear, and the kernel has another ID."""
    for file in cinderlib.volumes.glob("volume-*"):
        for trace in loop.devices_of(loop.Source.of(str(file))):
            loop.remove(f"/dev/{trace.name}", loop.Source.of(str(file)))
    id = str(uuid.uuid4())
    for module in ("state", "this_host"):
        monkeypatch.setattr(f"cinderlib.node.{module}.boot_id", lambda: id)


def persistent(cinderlib: Command) -> list[str | None]:
    """The devices of the persistent attachments."""
    listed = cinderlib("node", "list", "--persistent", "--json").json
    return [each.get("path") for each in listed]


def test_an_attach_that_is_persistent(cinderlib: Command, volume: str) -> None:
    device = cinderlib("volume", "attach", "data", "--persist").line
    assert persistent(cinderlib) == [device]
    (item,) = cinderlib("node", "list", "--json").json
    assert item["persistent"]
    assert "no longer" in cinderlib("node", "unpersist", device).stderr
    assert persistent(cinderlib) == []
    assert cinderlib("node", "persist", volume, "--json").json["changed"]
    assert not cinderlib("node", "persist", device, "--json").json["changed"]
    cinderlib("volume", "detach", "data")
    assert persistent(cinderlib) == []


@pytest.mark.alone(reason="a running service does not survive a boot")
def test_a_boot(cinderlib: Command, volume: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cinderlib("volume", "attach", "data", "--persist")
    boot(cinderlib, monkeypatch)
    assert persistent(cinderlib) == [None]
    refused = cinderlib("node", "fstab", volume, "/srv/data", ends=None)
    assert "attach-all" in refused.stderr
    device = cinderlib("node", "attach-all", "-o", "name").line
    assert persistent(cinderlib) == [device]
    assert cinderlib("volume", "show", "data", "--json").json["connections"][0]["path"] == device
    assert cinderlib("connection", "list", "--json").json[0]["device_state"] == "ok"
    assert cinderlib("node", "attach-all", "--json").json[0]["changed"] is False
    assert cinderlib("volume", "attach", "data").line == device


@pytest.mark.alone(reason="a running service does not survive a boot")
def test_a_volume_that_cannot_be_attached(
    cinderlib: Command, volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cinderlib("volume", "attach", "data", "--persist")
    boot(cinderlib, monkeypatch)
    (file,) = cinderlib.volumes.glob("volume-*")
    file.rename(f"{file}.away")
    done = cinderlib("node", "attach-all", ends=1)
    assert volume in done.stderr
    Path(f"{file}.away").rename(file)
    cinderlib("node", "attach-all")


def test_a_line_for_fstab(cinderlib: Command, volume: str) -> None:
    device = cinderlib("volume", "attach", "data", "--persist").line
    refused = cinderlib("node", "fstab", device, "/srv/data", ends=None)
    assert refused.exit_code
    assert f"mkfs.ext4 {device}" in refused.stderr
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    line = cinderlib("node", "fstab", device, "/srv/two words", "--options", "noatime").line
    name, mount_point, *rest = line.split()
    assert name.startswith(("UUID=", "/dev/disk/by-"))
    assert (mount_point, rest) == (
        r"/srv/two\040words",
        [
            "ext4",
            "noatime,_netdev,x-systemd.after=cinderlib-attach.service,x-systemd.device-timeout=5min",
            *("0", "2"),
        ],
    )
    file = cinderlib.folder / "fstab"
    file.write_text(f"{line}\n")
    found = subprocess.run(
        ["findmnt", "--fstab", "--tab-file", file, "--noheadings", "--output", "TARGET"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() in ("/srv/two words", r"/srv/two\x20words")
    assert cinderlib("node", "fstab", device, "relative", ends=None).exit_code
