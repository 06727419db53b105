"""Finds problems that keep a host from attaching volumes, and how to repair them. Each protocol has
a module.

The checks change nothing, do not load os-brick and open no connection to an array.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from cinderlib.errors import CinderlibError, InvalidInput
from cinderlib.node.base import HostSettings
from cinderlib.node.checks import (
    boot,
    common,
    encryption,
    fibre_channel,
    iscsi,
    kubernetes,
    local,
    lvm,
    multipath,
    nvme,
    rbd,
    shares,
    state,
)
from cinderlib.node.checks.finding import Diagnosis, Finding, worst_first
from cinderlib.node.checks.host import Host
from cinderlib.node.document import ConnectionDocument
from cinderlib.node.properties import connector_name
from cinderlib.node.state import Entry

#: The features of a host that can be checked.
PROTOCOLS = ("iscsi", "multipath", "encryption", "nvme", "rbd", "nfs", "fc", "local")
#: The reason for a check if the host may not use the feature.
INSTALLED = "installed"

_NAMES = {"fibre_channel": "fc", "iser": "iscsi", "nvmeof": "nvme"}
_INSTALLED_BY = {
    "iscsi": "iscsiadm",
    "multipath": "multipathd",
    "nvme": "nvme",
    "rbd": "rbd",
    "nfs": "mount.nfs",
}


def diagnose(
    settings: HostSettings,
    protocols: Iterable[str] | None,
    needed: Mapping[str, str],
    *,
    host: Host | None = None,
) -> Diagnosis:
    """See :meth:`cinderlib.node.Node.diagnose`.

    :param host: the host to check, by default this host.
    """
    host = host or Host(settings.root_helper)
    attached = _attached(settings)
    if protocols is None:
        reasons = _reasons(host, needed, attached)
    else:
        reasons = dict.fromkeys(map(_checked, protocols), "requested")
    paths = {str(entry.device["path"]) for entry in attached if entry.device}
    findings = [
        weighed
        for finding in _findings(host, settings, reasons, paths)
        if (weighed := _weighed(finding, reasons))
    ]
    return Diagnosis(protocols=reasons, findings=worst_first(findings))


def known(protocol: str) -> str | None:
    """The name in :data:`PROTOCOLS` for a driver's or connection's name, ``None`` if unknown."""
    name = connector_name(protocol)
    name = _NAMES.get(name, name)
    return name if name in PROTOCOLS else None


def _checked(protocol: str) -> str:
    name = known(protocol)
    if name is None:
        raise InvalidInput(
            f"A host cannot be checked for {protocol!r}. Choose from: {', '.join(PROTOCOLS)}"
        )
    return name


def _attached(settings: HostSettings) -> list[Entry]:
    try:
        return [entry for entry in settings.state.entries() if entry.status == "attached"]
    except CinderlibError:
        return []  # The check of the state folder reports the reason.


def _reasons(host: Host, needed: Mapping[str, str], attached: Iterable[Entry]) -> dict[str, str]:
    reasons = {name: why for protocol, why in needed.items() if (name := known(protocol))}
    for entry in attached:
        document = ConnectionDocument(entry.document)
        if name := known(document.protocol):
            reasons.setdefault(name, "attached here")
        if document.encryption is not None:
            reasons.setdefault("encryption", "attached here")
        if document.multipath:
            reasons.setdefault("multipath", "attached here")
    for name, command in _INSTALLED_BY.items():
        if host.which(command):
            reasons.setdefault(name, INSTALLED)
    if host.names("/sys/class/fc_host"):
        reasons.setdefault("fc", INSTALLED)
    return {name: reasons[name] for name in PROTOCOLS if name in reasons}


def _findings(
    host: Host, settings: HostSettings, reasons: Mapping[str, str], attached: set[str]
) -> Iterator[Finding]:
    yield from common.check(host, _used(reasons) or reasons)
    yield from state.check(settings, is_root=host.is_root)
    yield from boot.check(host, settings)
    yield from kubernetes.check(host)
    if "iscsi" in reasons:
        yield from iscsi.check(host)
    if "multipath" in reasons:
        yield from multipath.check(host, reasons)
    if "encryption" in reasons:
        yield from encryption.check(host)
    if "nvme" in reasons:
        yield from nvme.check(host, multipath="multipath" in reasons)
    if "rbd" in reasons:
        yield from rbd.check(host)
    if "nfs" in reasons:
        yield from shares.check(host)
    if "fc" in reasons:
        yield from fibre_channel.check(host)
    if "local" in reasons:
        yield from local.check(host)
    if lvm.SCANNED & _used(reasons):
        yield from lvm.check(host, attached)


def _used(reasons: Mapping[str, str]) -> set[str]:
    """The protocols that the host uses, without those that are only installed."""
    return {name for name, why in reasons.items() if why != INSTALLED}


def _weighed(finding: Finding, reasons: Mapping[str, str]) -> Finding | None:
    """The finding with the right severity: with an unused protocol, a problem is not an error."""
    topic, used = finding.check.partition(".")[0], _used(reasons)
    if topic in used or topic not in ("host", *reasons) or (topic == "host" and used):
        return finding
    if finding.severity == "note":
        return None
    return msgspec.structs.replace(finding, severity="warning")
