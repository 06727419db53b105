"""NFS: the commands that mount a share."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.node.checks import repair_commands
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host


def check(host: Host) -> Iterator[Finding]:
    """Find problems with NFS."""
    meaning = "no volume on an NFS share can be attached"
    yield from repair_commands.modules(host, ["nfs"], "nfs.module", meaning)
    if host.which("mount.nfs") is None:
        yield repair_commands.missing(host, "nfs.commands", ["mount.nfs"], meaning)
