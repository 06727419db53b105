"""Loop devices, which root needs to attach files of this host."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.node.checks import repair_commands
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

_LIMIT = "/sys/module/loop/parameters/max_loop"


def check(host: Host) -> Iterator[Finding]:
    """Find problems with loop devices. Without root, files are used directly."""
    if not host.is_root:
        return
    meaning = "volumes in files cannot be attached as block devices"
    state = host.module("loop")
    if state == "missing":
        yield from repair_commands.modules(host, ["loop"], "local.module", meaning)
        return
    devices = [name for name in host.names("/sys/block") if name.startswith("loop")]
    used = [name for name in devices if host.exists(f"/sys/block/{name}/loop")]
    limit = (host.read(_LIMIT) or "").strip()
    if not host.exists("/dev/loop-control") and state == "loaded":
        yield Finding(
            check="local.loop-control",
            severity="error",
            problem="/dev/loop-control does not exist",
            meaning=meaning,
            commands=("mknod -m 600 /dev/loop-control c 10 237",),
            advice="In a container: pass the host's device to it." if host.is_container else "",
        )
    elif limit.isdigit() and 0 < int(limit) <= len(used) and len(used) == len(devices):
        yield Finding(
            check="local.loop-devices",
            severity="warning",
            problem=f"all {len(devices)} loop devices are in use, and the kernel allows no more"
            f" (max_loop={limit})",
            meaning="no further volume can be attached as a block device",
            advice="`losetup --list` shows their files; `losetup --detach` frees one.",
        )
