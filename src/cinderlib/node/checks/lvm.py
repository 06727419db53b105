"""LVM on this host, which is not to look for volume groups on volumes that are attached."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator

from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

#: Protocols whose devices LVM looks at unless it is told not to.
SCANNED = frozenset({"iscsi", "nvme", "fc"})
#: What it says holds, whatever lvm.conf says.
LOCAL = "/etc/lvm/lvmlocal.conf"


def check(host: Host, attached: Collection[str]) -> Iterator[Finding]:
    """Whether LVM leaves the volumes alone that are attached here.

    :param attached: the devices of those, which are not this host's own.
    """
    if host.which("lvmconfig") is None or host.which("pvs") is None:
        return
    text = host.output("lvmconfig", "--type", "full", "devices")
    if text is None or _is_limited(host, text):
        return
    patterns = [f"a|^/dev/disk/by-id/lvm-pv-uuid-{uuid}$|" for uuid in _own_volumes(host, attached)]
    quoted = ", ".join(f'"{pattern}"' for pattern in (*patterns, "r|.*|"))
    lines = shlex.quote(f"devices {{\\n\\tglobal_filter = [ {quoted} ]\\n}}\\n")
    own = f" but its own {len(patterns)}" if patterns else ""
    yield Finding(
        check="lvm.filter",
        severity="warning",
        problem="LVM looks for volume groups on every disk, volumes that are attached among them",
        meaning="it activates what is on a guest's disk: then it cannot be detached, and two hosts"
        " write to it",
        commands=(f"printf {lines} >>{LOCAL}",),
        advice=f"This lets LVM see no disk{own}. Before a new disk is given to LVM, add it to the"
        f" filter in {LOCAL}.",
    )


def _is_limited(host: Host, text: str) -> bool:
    if re.search(r"^\s*use_devicesfile=1", text, re.MULTILINE):
        name = re.search(r'^\s*devicesfile="([^"]+)"', text, re.MULTILINE)
        if host.exists(f"/etc/lvm/devices/{name[1] if name else 'system.devices'}"):
            return True
    filters = re.findall(r"^\s*(?:global_)?filter=(.*)$", text, re.MULTILINE)
    return any(re.search(r'"r(.)(\.\*|\.|/dev/\.\*|\^/dev/\.\*)\1', each) for each in filters)


def _own_volumes(host: Host, attached: Collection[str]) -> list[str]:
    """The UUIDs of the physical volumes of this host."""
    text = host.output("pvs", "--reportformat", "json", "-o", "pv_name,pv_uuid")
    try:
        rows = json.loads(text or "{}")["report"][0]["pv"]
        return [row["pv_uuid"] for row in rows if row["pv_name"] not in attached]
    except (ValueError, LookupError, TypeError):
        return []
