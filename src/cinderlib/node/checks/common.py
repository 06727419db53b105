"""What every protocol needs of a host: the right to act as root, udev, os-brick, a name."""

from __future__ import annotations

import getpass
import grp
import importlib.util
import os
import shlex
import sys
from collections.abc import Collection, Iterator

from cinderlib.node.checks import mending
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

#: Protocols that make block devices of which udev is told.
BLOCK = frozenset({"iscsi", "nvme", "fc", "rbd"})
_SCSI = frozenset({"iscsi", "fc"})


def check(host: Host, protocols: Collection[str]) -> Iterator[Finding]:
    """What keeps this host from attaching anything over these protocols."""
    beyond = sorted(name for name in protocols if name != "local")
    if beyond and importlib.util.find_spec("os_brick") is None:
        yield Finding(
            check="host.os-brick",
            severity="error",
            problem=f"the Python package os-brick is not installed for {sys.executable}",
            meaning=f"nothing can be attached over {', '.join(beyond)}",
            commands=(f"{shlex.quote(sys.executable)} -m pip install os-brick",),
        )
    if beyond and not host.is_root:
        yield from _privileges(host, BLOCK & set(beyond))
    if BLOCK & set(beyond) and not host.exists("/run/udev/control"):
        yield from _udev(host)
    if _SCSI & set(beyond) and host.which("lsscsi") is None:
        meaning = "volumes cannot be extended while they are attached"
        yield mending.missing(host, "host.lsscsi", ["lsscsi"], meaning, severity="warning")
    if host.name.partition(".")[0] in ("localhost", "(none)", "debian", "ubuntu"):
        yield Finding(
            check="host.name",
            severity="warning",
            problem=f"this host is called {host.name!r}, as many are before they get a name",
            meaning="controllers tell hosts apart by name: two of one name are taken for one",
            advice="Give it a name of its own (`hostnamectl set-hostname`), or [node] host in"
            " cinderlib.toml.",
        )


def _privileges(host: Host, block: Collection[str]) -> Iterator[Finding]:
    helper, user = host.root_helper, getpass.getuser()
    if shlex.split(helper)[:1] == ["sudo"] and host.which("sudo") is None:
        yield mending.missing(host, "host.root-helper", ["sudo"], "nothing can be done as root")
    elif not host.acts_as_root:
        rule = f"{user} ALL=(root) NOPASSWD: ALL"
        yield Finding(
            check="host.root-helper",
            severity="error",
            problem=f"{helper!r} does not let {user} run commands as root without a password",
            meaning="no device can be made or removed, and some checks could not look",
            commands=(
                f"echo {shlex.quote(rule)} >/etc/sudoers.d/cinderlib",
                "chmod 440 /etc/sudoers.d/cinderlib",
                "visudo -c",
            )
            if shlex.split(helper)[:1] == ["sudo"]
            else (),
            advice="os-brick runs a Python of its own as root, so a rule for less than everything"
            " limits nobody.",
        )
    groups = {group.gr_name for group in grp.getgrall() if group.gr_gid in os.getgroups()}
    if block and "disk" not in groups:
        yield Finding(
            check="host.groups",
            severity="warning",
            problem=f"{user} is not in the group disk",
            meaning=f"{user} can attach volumes, and not open their devices",
            commands=(f"usermod -aG disk {shlex.quote(user)}",),
            advice="It holds from the next login on.",
        )


def _udev(host: Host) -> Iterator[Finding]:
    meaning = (
        "devices get no names by which they are found, and maps of several paths do not appear"
    )
    if host.which("udevadm") is None:
        yield mending.missing(host, "host.udev", ["udevadm"], meaning)
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
        advice="In a container: give it the host's /run/udev." if host.is_container else "",
    )
