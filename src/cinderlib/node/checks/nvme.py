"""NVMe over Fabrics: nvme-cli, and what this host is called."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

from cinderlib.node.checks import mending
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

NQN_FILE = "/etc/nvme/hostnqn"
ID_FILE = "/etc/nvme/hostid"

_NQN = re.compile(r"nqn\.\d{4}-\d{2}\.[-A-Za-z0-9.]+(:\S+)?")
_BY_UUID = "nqn.2014-08.org.nvmexpress:uuid:"
# Not by `nvme gen-hostnqn`: on a machine whose firmware gives it no UUID, that is all zeros.
_NEW_NQN = (
    "mkdir -p /etc/nvme",
    f'echo "{_BY_UUID}$(cat /proc/sys/kernel/random/uuid)" >{NQN_FILE}',
)
#: With a name that has a UUID, the id is that; otherwise it is a random one.
_NEW_ID = (
    f"if grep -q uuid: {NQN_FILE}; then sed 's/.*uuid://' {NQN_FILE} >{ID_FILE};"
    f" else cat /proc/sys/kernel/random/uuid >{ID_FILE}; fi"
)
_MULTIPATH = "/sys/module/nvme_core/parameters/multipath"


def check(host: Host, *, multipath: bool) -> Iterator[Finding]:
    """What keeps this host from attaching over NVMe-oF.

    :param multipath: whether volumes are to be used over several paths.
    """
    meaning = "no volume can be attached over NVMe-oF"
    yield from mending.modules(host, ("nvme_fabrics", "nvme_tcp"), "nvme.module", meaning)
    if host.which("nvme") is None:
        # The package's own first name for a host comes from `nvme gen-hostnqn`.
        named = () if nqn_of(host) else (*_NEW_NQN, _NEW_ID)
        yield mending.missing(host, "nvme.commands", ["nvme"], meaning, *named)
        return
    yield from _names(host)
    if multipath and (host.read(_MULTIPATH) or "").strip() == "N":
        yield Finding(
            check="nvme.multipath",
            severity="error",
            problem="the kernel's own multipath for NVMe is off (nvme_core.multipath=N)",
            meaning="each path of a volume is a disk of its own",
            commands=(mending.write("/etc/modprobe.d/nvme-multipath.conf", _OPTION),),
            advice="It holds after a reboot. Where the initial RAM disk has NVMe's modules, make it"
            " anew before (update-initramfs -u, dracut -f).",
        )


_OPTION = "options nvme_core multipath=Y"


def nqn_of(host: Host) -> str | None:
    """The name of this host, as it is given to targets."""
    return (host.read(NQN_FILE) or "").strip() or None


def id_of(host: Host) -> str | None:
    """The id of this host, as it is given to targets."""
    return (host.read(ID_FILE) or "").strip() or None


def _names(host: Host) -> Iterator[Finding]:
    nqn, identity = nqn_of(host), id_of(host)
    if nqn is None:
        # os-brick makes the files when it can; until then no volume is mapped for this host.
        yield Finding(
            check="nvme.hostnqn",
            severity="warning",
            problem=f"{NQN_FILE} is missing or empty, so this host has no name as an NVMe host",
            meaning="it gets a new one when it first attaches, unknown to the array until then",
            commands=(*_NEW_NQN, _NEW_ID),
        )
        return
    placeholder = nqn.startswith(_BY_UUID) and not _uuid(nqn.removeprefix(_BY_UUID))
    if placeholder or not _NQN.fullmatch(nqn):
        yield Finding(
            check="nvme.hostnqn",
            severity="error",
            problem=f"{NQN_FILE} has {nqn!r}, which "
            + ("has no UUID of a host" if placeholder else "is no name of an NVMe host"),
            meaning="targets refuse it, or take this host for another",
            commands=(*_NEW_NQN, _NEW_ID),
            advice="Arrays that know this host by the old name must be told the new one.",
        )
        return
    if identity is None or not _uuid(identity):
        yield Finding(
            check="nvme.hostid",
            severity="warning",
            problem=f"{ID_FILE} is missing or empty"
            if identity is None
            else f"{ID_FILE} has {identity!r}, which is no UUID of a host",
            meaning="targets cannot tell this host from others with the same",
            commands=(_NEW_ID,),
        )
    elif nqn.startswith(_BY_UUID) and _uuid(nqn.removeprefix(_BY_UUID)) != _uuid(identity):
        yield Finding(
            check="nvme.hostid",
            severity="note",
            problem=f"{ID_FILE} and {NQN_FILE} have different UUIDs, as some distributions make"
            " them",
            meaning="newer releases of nvme-cli warn about it; targets take it",
            advice=f"To make them the same while nothing is attached: {_NEW_ID}",
        )


def _uuid(text: str) -> int | None:
    """The number that a UUID is: 0 for one that is all zeros, ``None`` for what is none."""
    try:
        return uuid.UUID(text).int
    except ValueError:
        return None
