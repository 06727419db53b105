"""Commands that repair a host, for its distribution and init system."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Literal

from cinderlib.node.checks.finding import Finding, Severity
from cinderlib.node.checks.host import Host

Family = Literal["debian", "rhel"]

#: The package of each command in the families of Debian and of Red Hat Enterprise Linux.
PACKAGES: Mapping[str, tuple[str, str]] = {
    "blockdev": ("util-linux", "util-linux"),
    "blkid": ("util-linux", "util-linux"),
    "cmp": ("diffutils", "diffutils"),
    "cryptsetup": ("cryptsetup-bin", "cryptsetup"),
    "du": ("coreutils", "coreutils"),
    "iscsiadm": ("open-iscsi", "iscsi-initiator-utils"),
    "lsscsi": ("lsscsi", "lsscsi"),
    "lvcreate": ("lvm2", "lvm2"),
    "lvs": ("lvm2", "lvm2"),
    "modprobe": ("kmod", "kmod"),
    "mount.nfs": ("nfs-common", "nfs-utils"),
    "multipath": ("multipath-tools", "device-mapper-multipath"),
    "multipathd": ("multipath-tools", "device-mapper-multipath"),
    "nvme": ("nvme-cli", "nvme-cli"),
    "qemu-img": ("qemu-utils", "qemu-img"),
    "rbd": ("ceph-common", "ceph-common"),
    "sudo": ("sudo", "sudo"),
    "tgtadm": ("tgt", "scsi-target-utils"),
    "thin_check": ("thin-provisioning-tools", "device-mapper-persistent-data"),
    "udevadm": ("udev", "systemd-udev"),
    "vgs": ("lvm2", "lvm2"),
}


def family(host: Host) -> Family | None:
    """The family of the host's distribution; ``None`` for an unknown one."""
    names = f"{host.release.get('ID', '')} {host.release.get('ID_LIKE', '')}".split()
    if {"debian", "ubuntu"} & set(names):
        return "debian"
    return "rhel" if {"rhel", "fedora", "centos"} & set(names) else None


def install(host: Host, *commands: str) -> tuple[str, ...]:
    """The command that installs the packages of commands; empty if the packages are unknown."""
    kind = family(host)
    if kind is None or not set(commands) <= PACKAGES.keys():
        return ()
    names = {PACKAGES[name][kind == "rhel"] for name in commands}
    return install_packages(host, names)


def install_packages(host: Host, packages: Iterable[str]) -> tuple[str, ...]:
    """The command that installs packages, specified by the distribution's names."""
    tool = {"debian": "apt-get", "rhel": "dnf", None: None}[family(host)]
    return (f"{tool} install -y {' '.join(sorted(packages))}",) if tool else ()


def missing(
    host: Host,
    check: str,
    commands: Iterable[str],
    meaning: str,
    *then: str,
    severity: Severity = "error",
) -> Finding:
    """The finding that commands are not installed.

    :param then: further commands to run after the installation.
    """
    absent = [name for name in commands if host.which(name) is None]
    fix = install(host, *absent)
    return Finding(
        check=check,
        severity=severity,
        problem=f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed",
        meaning=meaning,
        commands=(*fix, *then) if fix else (),
        advice="" if fix else "Install the package of your distribution that contains it.",
    )


def start(host: Host, daemon: str, socket: str, *before: str) -> tuple[str, ...]:
    """The commands that start a daemon; with systemd, also at each boot.

    :param daemon: the command, and the unit of systemd.
    :param socket: the abstract socket that it listens on.
    :param before: commands to run before, on hosts without systemd.
    """
    if host.has_systemd:
        return (f"systemctl enable --now {daemon}",)
    # Installing the package may have started it, and a second daemon would fail.
    return (*before, f"grep -q @{socket} /proc/net/unix || {daemon}")


def write(name: str, *lines: str, append: bool = False) -> str:
    """The command that writes a file; the command contains ``\\n`` for the end of each line."""
    text = "".join(f"{line}\\n" for line in lines).replace("%", "%%")
    return f"printf {shlex.quote(text)} {'>>' if append else '>'}{shlex.quote(name)}"


def modules(host: Host, names: Iterable[str], check: str, meaning: str) -> list[Finding]:
    """Findings for kernel modules that are missing or cannot be loaded."""
    states = {name: host.module(name) for name in names}
    absent = [name for name, state in states.items() if state == "missing"]
    if not absent:
        if "loadable" in states.values() and host.which("modprobe") is None:
            return [missing(host, "host.modprobe", ["modprobe"], "no module can be loaded")]
        return []
    commands: tuple[str, ...] = ()
    advice = "Boot a kernel that has it."
    if host.is_container:
        advice = "A container uses the host's kernel: run `modprobe -a {}` on the host."
        advice = advice.format(" ".join(absent))
    elif not host.exists(f"/lib/modules/{host.kernel}") and host.names("/lib/modules"):
        advice = "An update removed the modules of the running kernel: reboot."
    elif host.release.get("ID") == "ubuntu":
        commands = (f"apt-get install -y linux-modules-extra-{host.kernel}",)
    elif family(host) == "rhel":
        commands = (f"dnf install -y kernel-modules-{host.kernel}",)
    return [
        Finding(
            check=check,
            severity="error",
            problem=f"the kernel {host.kernel} has no {' and no '.join(absent)}",
            meaning=meaning,
            commands=commands,
            advice="" if commands else advice,
        )
    ]
