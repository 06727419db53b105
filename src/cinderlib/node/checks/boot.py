"""Persistent attachments: the unit that attaches them, and those that are not attached."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.errors import CinderlibError
from cinderlib.node import boot
from cinderlib.node.base import HostSettings
from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

#: The unit of systemd that attaches them.
UNIT = "cinderlib-attach.service"


def check(host: Host, settings: HostSettings) -> Iterator[Finding]:
    """Find persistent attachments that do not return after a boot."""
    try:
        persistent = boot.PersistentAttachments(settings).all()
    except CinderlibError as exc:
        yield Finding(
            check="boot.documents",
            severity="error",
            problem=f"the persistent attachments cannot be read: {exc}",
            meaning="no volume is attached again after a boot",
        )
        return
    if persistent and host.has_systemd and not host.is_enabled(UNIT):
        yield Finding(
            check="boot.unit",
            severity="warning",
            problem=f"{UNIT} is not enabled, but {len(persistent)} attachments are persistent",
            meaning="they are not attached again after a boot",
            commands=(f"systemctl enable {UNIT}",),
        )
    for each in persistent:
        if each.attachment is not None and each.attachment.state == "ok":
            continue
        document = each.connection_info
        name = document.get("volume", {}).get("id") or document.get("id") or "without an ID"
        yield Finding(
            check="boot.attachment",
            severity="warning",
            problem=f"the persistent volume {name} is not attached",
            meaning="programs and filesystems that use it do not work",
            advice="`cinderlib node attach-all` attaches it, or shows the reason. `cinderlib node"
            " unpersist` ends the persistence.",
        )
