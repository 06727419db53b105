"""Ceph: the kernel's RBD client for root, librbd for programs."""

from __future__ import annotations

import importlib.util
import sysconfig
from collections.abc import Collection, Iterator

from cinderlib.node.checks import repair_commands
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

_PACKAGES = ("python3-rados", "python3-rbd")
#: The folders where distributions install modules for their own Python.
_FOLDERS = ("/usr/lib/python3/dist-packages", f"{sysconfig.get_path('platstdlib')}/site-packages")


def check(host: Host) -> Iterator[Finding]:
    """Find problems with RBD images."""
    kernel = host.module("rbd") != "missing"
    command = host.which("rbd") is not None
    library = [name for name in ("rados", "rbd") if importlib.util.find_spec(name) is None]
    by_kernel = kernel and command and host.is_root
    if not by_kernel and library:
        yield _no_way(host, kernel, library)
    elif not by_kernel:
        yield Finding(
            check="rbd.kernel",
            severity="note",
            problem="images are opened through librbd, not mapped by the kernel: "
            + (
                "that needs root"
                if kernel and command
                else "the command rbd is not installed"
                if kernel
                else f"the kernel {host.kernel} has no rbd module"
            ),
            meaning="programs can read and write a volume, but a device to mount is missing",
            commands=repair_commands.install(host, "rbd") if kernel and not command else (),
        )
    elif library:
        yield Finding(
            check="rbd.library",
            severity="note",
            problem=f"this Python does not have {' and '.join(library)}",
            meaning="volumes are mapped by the kernel; a backend with Ceph's driver does not load",
            commands=library_commands(host, library),
        )


def _no_way(host: Host, kernel: bool, library: list[str]) -> Finding:
    if kernel and host.is_root:
        return repair_commands.missing(
            host, "rbd.commands", ["rbd"], "no volume of Ceph can be attached"
        )
    return Finding(
        check="rbd.library",
        severity="error",
        problem=f"this Python does not have {' and '.join(library)}, and the kernel's client "
        + ("needs root" if kernel else f"is not in the kernel {host.kernel}"),
        meaning="no volume of Ceph can be attached",
        commands=library_commands(host, library),
        advice="They are not on PyPI: your distribution has packages for its own Python.",
    )


def library_commands(host: Host, names: Collection[str]) -> tuple[str, ...]:
    """The commands that let this Python import Ceph's modules (``rados``, ``rbd``)."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    target = sysconfig.get_path("platlib")
    links = []
    for name in names:
        for folder in _FOLDERS:
            if host.exists(f"{folder}/{name}{suffix}"):
                # In a virtual environment, the modules exist but cannot be imported.
                links.append(f"ln -s {folder}/{name}{suffix} {target}/")
                break
    return tuple(links) if links else repair_commands.install_packages(host, _PACKAGES)
