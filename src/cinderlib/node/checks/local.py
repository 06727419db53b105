"""Loop devices, which files of this host become for root."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.node.checks import mending
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

_LIMIT = "/sys/module/loop/parameters/max_loop"


def check(host: Host) -> Iterator[Finding]:
    """What keeps this host from making devices of files. Without root they are used as files."""
    if not host.is_root:
        return
    meaning = "volumes that are files cannot be attached as block devices"
    state = host.module("loop")
    if state == "missing":
        yield from mending.modules(host, ["loop"], "local.module", meaning)
        return
    devices = [name for name in host.names("/sys/block") if name.startswith("loop")]
    used = [name for name in devices if host.exists(f"/sys/block/{name}/loop")]
    limit = (host.read(_LIMIT) or "").strip()
    if not host.exists("/dev/loop-control") and state == "there":
        yield Finding(
            check="local.loop-control",
            severity="error",
            problem="there is no /dev/loop-control",
            meaning=meaning,
            commands=("mknod -m 600 /dev/loop-control c 10 237",),
            advice="In a container: give it the device of the host." if host.is_container else "",
        )
    elif limit.isdigit() and 0 < int(limit) <= len(used) and len(used) == len(devices):
        yield Finding(
            check="local.loop-devices",
            severity="warning",
            problem=f"all {len(devices)} loop devices are in use, and the kernel makes no more"
            f" (max_loop={limit})",
            meaning="no further volume can be attached as a block device",
            advice="`losetup --list` says of what they are; `losetup --detach` frees one.",
        )
