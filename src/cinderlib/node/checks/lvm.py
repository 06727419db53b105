"""LVM on this host, which must not activate volume groups on attached volumes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator

from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

#: Protocols whose devices LVM scans unless a filter excludes them.
SCANNED = frozenset({"iscsi", "nvme", "fc"})
#: Settings in this file override lvm.conf.
LOCAL = "/etc/lvm/lvmlocal.conf"


def check(host: Host, attached: Collection[str]) -> Iterator[Finding]:
    """Check that LVM ignores attached volumes.

    :param attached: the devices of attached volumes.
    """
    if host.which("lvmconfig") is None or host.which("pvs") is None:
        return
    text = host.output("lvmconfig", "--type", "full", "devices")
    if text is None or _is_limited(host, text):
        return
    own = _own_disks(host, attached)
    commands: tuple[str, ...] = ()
    advice = f"Set global_filter in {LOCAL} to this host's own disks."
    if own is not None:
        patterns = [*(f"a|^{name}$|" for name in own), "r|.*|"]
        quoted = ", ".join(f'"{pattern}"' for pattern in patterns)
        text = shlex.quote(f"devices {{\\n\\tglobal_filter = [ {quoted} ]\\n}}\\n")
        commands = (f"printf {text} >>{LOCAL}",)
        seen = f"only the {len(own)} current disks" if own else "no disk"
        advice = (
            f"With this filter LVM sees {seen}. Before you use a new disk for LVM, add it to the"
            f" filter in {LOCAL}."
        )
    yield Finding(
        check="lvm.filter",
        severity="warning",
        problem="LVM scans every disk for volume groups, including attached volumes",
        meaning="it activates volume groups of guests: then the volume cannot be detached, and two"
        " hosts write to it",
        commands=commands,
        advice=advice,
    )


def _is_limited(host: Host, text: str) -> bool:
    if re.search(r"^\s*use_devicesfile=1", text, re.MULTILINE):
        name = re.search(r'^\s*devicesfile="([^"]+)"', text, re.MULTILINE)
        if host.exists(f"/etc/lvm/devices/{name[1] if name else 'system.devices'}"):
            return True
    filters = re.findall(r"^\s*(?:global_)?filter=(.*)$", text, re.MULTILINE)
    return any(re.search(r'"r(.)(\.\*|\.|/dev/\.\*|\^/dev/\.\*)\1', each) for each in filters)


def _own_disks(host: Host, attached: Collection[str]) -> list[str] | None:
    """This host's disks that LVM uses, with stable names; ``None`` if they are unknown. Then a
    filter could hide the system's own disks."""
    text = host.output("pvs", "--reportformat", "json", "-o", "pv_name,pv_uuid")
    try:
        rows = json.loads(text or "")["report"][0]["pv"]
        disks = {row["pv_name"]: row["pv_uuid"] for row in rows}
    except (ValueError, LookupError, TypeError):
        return None
    names = {disk: f"/dev/disk/by-id/lvm-pv-uuid-{uuid}" for disk, uuid in disks.items()}
    others = [host.real(path) for path in attached]
    own = (disk for disk in disks if not _is_on(host.real(disk), others))
    return [names[disk] if host.exists(names[disk]) else disk for disk in own]


def _is_on(disk: str, others: Collection[str]) -> bool:
    """Whether a disk is one of the others, or a partition of one."""
    return any(re.fullmatch(rf"{re.escape(other)}(p?\d+)?", disk) for other in others)
