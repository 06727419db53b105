"""NVMe over Fabrics: nvme-cli, and this host's NQN and host ID."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

from cinderlib.node.checks import repair_commands
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

NQN_FILE = "/etc/nvme/hostnqn"
ID_FILE = "/etc/nvme/hostid"

_NQN = re.compile(r"nqn\.\d{4}-\d{2}\.[-A-Za-z0-9.]+(:\S+)?")
_BY_UUID = "nqn.2014-08.org.nvmexpress:uuid:"
# `nvme gen-hostnqn` is not used: on a machine without a UUID in its firmware, it returns zeros.
_NEW_NQN = (
    "mkdir -p /etc/nvme",
    f'echo "{_BY_UUID}$(cat /proc/sys/kernel/random/uuid)" >{NQN_FILE}',
)
#: If the NQN contains a UUID, the host ID must be the same; otherwise it is random.
_NEW_ID = (
    f"if grep -q uuid: {NQN_FILE}; then sed 's/.*uuid://' {NQN_FILE} >{ID_FILE};"
    f" else cat /proc/sys/kernel/random/uuid >{ID_FILE}; fi"
)
_MULTIPATH = "/sys/module/nvme_core/parameters/multipath"


def check(host: Host, *, multipath: bool) -> Iterator[Finding]:
    """Find problems with NVMe-oF.

    :param multipath: whether volumes are used over several paths.
    """
    meaning = "no volume can be attached over NVMe-oF"
    yield from repair_commands.modules(host, ("nvme_fabrics", "nvme_tcp"), "nvme.module", meaning)
    if host.which("nvme") is None:
        # The package creates a host's first NQN with `nvme gen-hostnqn`.
        named = () if nqn_of(host) else (*_NEW_NQN, _NEW_ID)
        yield repair_commands.missing(host, "nvme.commands", ["nvme"], meaning, *named)
        return
    yield from _names(host)
    if multipath and (host.read(_MULTIPATH) or "").strip() == "N":
        yield Finding(
            check="nvme.multipath",
            severity="error",
            problem="the kernel's own multipath for NVMe is off (nvme_core.multipath=N)",
            meaning="each path of a volume appears as a separate disk",
            commands=(repair_commands.write("/etc/modprobe.d/nvme-multipath.conf", _OPTION),),
            advice="Reboot to apply the change. If the initial RAM disk contains the NVMe modules,"
            " rebuild it first (update-initramfs -u, dracut -f).",
        )


_OPTION = "options nvme_core multipath=Y"


def nqn_of(host: Host) -> str | None:
    """The NQN of this host."""
    return (host.read(NQN_FILE) or "").strip() or None


def id_of(host: Host) -> str | None:
    """The host ID of this host."""
    return (host.read(ID_FILE) or "").strip() or None


def _names(host: Host) -> Iterator[Finding]:
    nqn, identity = nqn_of(host), id_of(host)
    if nqn is None:
        # os-brick creates the files if it can; until then no volume can be mapped to this host.
        yield Finding(
            check="nvme.hostnqn",
            severity="warning",
            problem=f"{NQN_FILE} is missing or empty, so this host has no NQN",
            meaning="it gets a new NQN at its first attach; the array does not know that NQN yet",
            commands=(*_NEW_NQN, _NEW_ID),
        )
        return
    placeholder = nqn.startswith(_BY_UUID) and not _uuid(nqn.removeprefix(_BY_UUID))
    if placeholder or not _NQN.fullmatch(nqn):
        yield Finding(
            check="nvme.hostnqn",
            severity="error",
            problem=f"{NQN_FILE} has {nqn!r}, which "
            + ("has no valid UUID" if placeholder else "is not a valid NQN"),
            meaning="targets reject it, or confuse this host with another",
            commands=(*_NEW_NQN, _NEW_ID),
            advice="Change the NQN on arrays where this host has the old one.",
        )
        return
    if identity is None or not _uuid(identity):
        yield Finding(
            check="nvme.hostid",
            severity="warning",
            problem=f"{ID_FILE} is missing or empty"
            if identity is None
            else f"{ID_FILE} has {identity!r}, which is not a valid UUID",
            meaning="targets cannot distinguish this host from others with the same host ID",
            commands=(_NEW_ID,),
        )
    elif nqn.startswith(_BY_UUID) and _uuid(nqn.removeprefix(_BY_UUID)) != _uuid(identity):
        yield Finding(
            check="nvme.hostid",
            severity="note",
            problem=f"{ID_FILE} and {NQN_FILE} have different UUIDs, as on some distributions",
            meaning="newer releases of nvme-cli warn about it; targets accept it",
            advice=f"To set the same UUID, detach all volumes and run: {_NEW_ID}",
        )


def _uuid(text: str) -> int | None:
    """The number of a UUID: 0 if it is all zeros, ``None`` if it is not a UUID."""
    try:
        return uuid.UUID(text).int
    except ValueError:
        return None
