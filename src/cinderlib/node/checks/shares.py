"""NFS: what mounts a share."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.node.checks import mending
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host


def check(host: Host) -> Iterator[Finding]:
    """What keeps this host from mounting NFS shares."""
    meaning = "no volume on an NFS share can be attached"
    yield from mending.modules(host, ["nfs"], "nfs.module", meaning)
    if host.which("mount.nfs") is None:
        yield mending.missing(host, "nfs.commands", ["mount.nfs"], meaning)
