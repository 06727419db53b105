"""General requirements of all protocols: root privileges, udev, os-brick, a host name."""

from __future__ import annotations

import getpass
import grp
import importlib.util
import os
import shlex
import sys
from collections.abc import Collection, Iterator

from cinderlib.node.checks import repair_commands
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

#: Protocols whose devices are block devices that udev handles.
BLOCK = frozenset({"iscsi", "nvme", "fc", "rbd"})
_SCSI = frozenset({"iscsi", "fc"})


def check(host: Host, protocols: Collection[str]) -> Iterator[Finding]:
    """Find general problems that affect these protocols."""
    beyond = sorted(name for name in protocols if name != "local")
    if beyond and importlib.util.find_spec("os_brick") is None:
        yield Finding(
            check="host.os-brick",
            severity="error",
            problem=f"the Python package os-brick is not installed for {sys.executable}",
            meaning=f"no volume can be attached over {', '.join(beyond)}",
            commands=(f"{shlex.quote(sys.executable)} -m pip install os-brick",),
        )
    if beyond and not host.is_root:
        yield from _privileges(host, BLOCK & set(beyond))
    if BLOCK & set(beyond) and not host.exists("/run/udev/control"):
        yield from _udev(host)
    if _SCSI & set(beyond) and host.which("lsscsi") is None:
        meaning = "volumes cannot be extended while they are attached"
        yield repair_commands.missing(host, "host.lsscsi", ["lsscsi"], meaning, severity="warning")
    if host.name.partition(".")[0] in ("localhost", "(none)", "debian", "ubuntu"):
        yield Finding(
            check="host.name",
            severity="warning",
            problem=f"this host has the default name {host.name!r}",
            meaning="controllers identify hosts by name: they treat two hosts with the same name as"
            " one",
            advice="Give it a unique name (`hostnamectl set-hostname`), or set [node] host in"
            " cinderlib.toml.",
        )


def _privileges(host: Host, block: Collection[str]) -> Iterator[Finding]:
    helper, user = host.root_helper, getpass.getuser()
    if shlex.split(helper)[:1] == ["sudo"] and host.which("sudo") is None:
        yield repair_commands.missing(
            host, "host.root-helper", ["sudo"], "no command can run as root"
        )
    elif not host.acts_as_root:
        rule = f"{user} ALL=(root) NOPASSWD: ALL"
        yield Finding(
            check="host.root-helper",
            severity="error",
            problem=f"{helper!r} does not allow {user} to run commands as root without a password",
            meaning="no device can be created or removed, and some checks were not possible",
            commands=(
                f"echo {shlex.quote(rule)} >/etc/sudoers.d/cinderlib",
                "chmod 440 /etc/sudoers.d/cinderlib",
                "visudo -c",
            )
            if shlex.split(helper)[:1] == ["sudo"]
            else (),
            advice="os-brick runs its own Python process as root, so a narrower sudo rule would not"
            " restrict this user.",
        )
    groups = {group.gr_name for group in grp.getgrall() if group.gr_gid in os.getgroups()}
    if block and "disk" not in groups:
        yield Finding(
            check="host.groups",
            severity="warning",
            problem=f"{user} is not in the group disk",
            meaning=f"{user} can attach volumes but cannot open their devices",
            commands=(f"usermod -aG disk {shlex.quote(user)}",),
            advice="Log in again after the change.",
        )


def _udev(host: Host) -> Iterator[Finding]:
    meaning = "devices get no stable names, and multipath maps do not appear"
    if host.which("udevadm") is None:
        yield repair_commands.missing(host, "host.udev", ["udevadm"], meaning)
        return
    daemons = ("/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd")
    daemon = next((f"{name} --daemon" for name in daemons if host.exists(name)), "udevd --daemon")
    start = "systemctl start systemd-udevd" if host.has_systemd else daemon
    yield Finding(
        check="host.udev",
        severity="warning",
        problem="udev does not run",
        meaning=meaning,
        commands=() if host.is_container else (start,),
        advice="In a container: mount the host's /run/udev." if host.is_container else "",
    )
