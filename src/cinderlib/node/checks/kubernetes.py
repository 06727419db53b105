"""The mounts of a container with the CSI plug-in, or of a host with a kubelet."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

_KUBELET = "/var/lib/kubelet"


def check(host: Host) -> Iterator[Finding]:
    """Find mounts that hide volumes from the kubelet, or devices from the plug-in."""
    mounts = _mounts(host.read("/proc/self/mountinfo") or "")
    kubelet = mounts.get(_KUBELET)
    if kubelet is None:
        return
    if "shared" not in kubelet[0]:
        yield Finding(
            check="host.mount-propagation",
            severity="error",
            problem=f"mounts below {_KUBELET} are not shared with the host",
            meaning="the kubelet and the workloads do not see the volumes that the plug-in mounts",
            advice="In the pod, set mountPropagation: Bidirectional for the volumeMount"
            f" {_KUBELET}, and privileged: true. On a host: mount --make-shared {_KUBELET}.",
        )
    if (mounts.get("/dev") or ("", "", "devtmpfs"))[2] != "devtmpfs":
        yield Finding(
            check="host.dev",
            severity="error",
            problem="/dev is not that of the host",
            meaning="new devices do not appear in this container",
            advice="Mount the host's /dev into the container.",
        )
    if "ro" in (mounts.get("/sys") or ("", ""))[1].split(","):
        yield Finding(
            check="host.sys",
            severity="error",
            problem="/sys is read-only",
            meaning="disks cannot be scanned for, or removed",
            advice="Run the container with privileged: true, and mount the host's /sys.",
        )


def _mounts(text: str) -> dict[str, tuple[str, str, str]]:
    """Path -> propagation, options and type of the last mount there."""
    found = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) > 5 and after:
            found[fields[4]] = (" ".join(fields[6:]), fields[5], after.split(" ")[0])
    return found
