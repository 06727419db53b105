"""Volumes that are attached on another host over SSH, and other ways to attach."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from cli.command import Command

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needs_loop = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
    reason="needs root and the kernel's loop module",
)


@pytest.fixture
def ssh(cinderlib: Command, tmp_path: pathlib.Path) -> Iterator[str]:
    """The SSH command for this host, whose server runs the command of this environment."""
    if SSHD is None or not os.path.isdir("/run/sshd"):
        pytest.skip("needs the server of OpenSSH, and its folder /run/sshd")
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        key = ["-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(["ssh-keygen", *key], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{pathlib.Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    options = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
        "SetEnv": f"PATH={path} CINDERLIB_CONFIG={cinderlib.config}",
    }
    configuration = folder / "sshd_config"
    configuration.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", configuration], stderr=subprocess.PIPE)
    try:
        _wait_for(port, server)
        known = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known"]
        yield " ".join(["ssh", "-q", "-p", str(port), "-i", str(folder / "user"), *known])
    finally:
        server.terminate()
        server.communicate()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.skip(f"sshd does not start here: {server.stderr.read() if server.stderr else b''!r}")


@pytest.mark.slow
@needs_loop
def test_a_volume_is_attached_on_another_host_over_ssh(cinderlib: Command, ssh: str) -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    there = ("--host", f"{user}@127.0.0.1", "--ssh", ssh)
    cinderlib("volume", "create", "data", "1GiB")
    device = cinderlib("volume", "attach", "data", *there).line
    assert pathlib.Path(device).is_block_device()
    assert [row[0] for row in cinderlib("node", "list").rows] == [device]
    assert cinderlib("volume", "list", "-o", "json").json[0]["status"] == "in-use"
    assert "Detached" in cinderlib("volume", "detach", "data", *there).stderr
    assert cinderlib("node", "list", "-o", "json").json == []
    assert cinderlib("volume", "list", "-o", "json").json[0]["status"] == "available"
    assert "not connected" in cinderlib("volume", "detach", "data", *there).stderr


def test_a_host_that_ssh_does_not_reach(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    failed = cinderlib("volume", "attach", "data", "--host", "there", "--ssh", "false", ends=None)
    assert failed.exit_code != 0
    assert "On host there" in failed.stderr
    cinderlib("volume", "attach", "data", "--host", "-oProxyCommand=x", ends=2)
    assert cinderlib("volume", "list", "-o", "json").json[0]["status"] == "available"


@needs_loop
def test_a_volume_is_attached_read_only(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    device = cinderlib("volume", "attach", "data", "--read-only").line
    assert pathlib.Path(f"/sys/class/block/{pathlib.Path(device).name}/ro").read_text() == "1\n"
    assert cinderlib("connection", "list", "-o", "json").json[0]["attach_mode"] == "ro"
    cinderlib("volume", "detach", "data")


def test_exports_are_restored(cinderlib: Command) -> None:
    assert "0 volumes" in cinderlib("backend", "restore-exports").stderr
