"""Encrypted volumes: cryptsetup, and the kernel's dm-crypt."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.node.checks import repair_commands
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

#: The programs that open encrypted volumes; the others are on every host.
COMMANDS = ("cryptsetup", "blkid", "cmp")


def check(host: Host) -> Iterator[Finding]:
    """Find problems with encrypted volumes."""
    meaning = "no encrypted volume can be attached"
    modules = ("dm_mod", "dm_crypt")
    yield from repair_commands.modules(host, modules, "encryption.module", meaning)
    if any(host.which(name) is None for name in COMMANDS):
        yield repair_commands.missing(host, "encryption.commands", COMMANDS, meaning)
