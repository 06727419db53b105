"""Finds problems that keep a controller from using its backends, and nodes with equal identities.

This is the controller's part of `cinderlib doctor`. ``node/checks`` checks the attaching host.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinderlib.drivers import protocols
from cinderlib.errors import CinderlibError, MissingDependency, Unsupported
from cinderlib.node.checks import rbd, repair_commands
from cinderlib.node.checks.finding import Finding, worst_first
from cinderlib.node.checks.host import Host

if TYPE_CHECKING:
    from cinderlib.drivers.port_values import Lacks
    from cinderlib.objects.controller import Controller

Backends = Mapping[str, Mapping[str, Any]]
Connector = Mapping[str, Any]

#: Connector properties that identify a host on a storage network, and their names in messages.
_IDENTITIES = {"initiator": "iSCSI initiator name", "nqn": "NQN", "wwpns": "port name (WWPN)"}
_LIO = ("target_core_mod", "iscsi_target_mod")


def needed(backends: Backends) -> dict[str, str]:
    """The features that a host needs to attach volumes of the backends, and the reason for each.

    :param backends: name -> options, including ``volume_driver``.
    """
    reasons: dict[str, str] = {}
    for name, options in backends.items():
        if protocol := protocols.of(options):
            reasons.setdefault(protocol, f"backend {name}")
        if str(options.get("use_multipath_for_image_xfer")).lower() in ("true", "1", "yes", "on"):
            reasons.setdefault("multipath", f"backend {name}")
    return reasons


def check(
    controller: Controller, state_path: Path, host: Host, backends: Backends
) -> tuple[Finding, ...]:
    """See :meth:`cinderlib.Controller.diagnose`."""
    findings = [*_state(state_path), *_store(controller)]
    for name, options in backends.items():
        findings += _backend(controller, host, name, options)
    return worst_first(findings)


def _state(folder: Path) -> Iterator[Finding]:
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return  # It is created on first use, private to its owner.
    except OSError as exc:
        problem = f"the state folder {folder} cannot be accessed: {exc.strerror}"
        yield Finding(
            check="controller.state",
            severity="error",
            problem=problem,
            meaning="no lock can be taken, so no backend can be changed",
        )
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            check="controller.state",
            severity="error",
            problem=f"the state folder {folder} cannot be written to",
            meaning="no lock can be taken, so no backend can be changed",
            advice="Run this as the user who owns it, or choose another folder with state_path.",
        )
    elif stat.S_IMODE(mode) & 0o022:
        yield Finding(
            check="controller.state",
            severity="warning",
            problem=f"other users can write to the state folder {folder}",
            meaning="they can hold locks, or replace files that drivers read",
            commands=(f"chmod 700 {shlex.quote(str(folder))}",),
        )


def _store(controller: Controller) -> Iterator[Finding]:
    try:
        registered = list(_registered(controller))
        connected = list(_connected(controller))
    except CinderlibError as exc:
        yield Finding(
            check="store.reach",
            severity="error",
            problem=f"the store cannot be read: {exc}",
            meaning="no volume can be found",
        )
        return
    yield from _namesakes(registered)
    for field, called in _IDENTITIES.items():
        for value, names in _owners([*registered, *connected], field).items():
            if len(names) > 1:
                yield Finding(
                    check="store.duplicates",
                    severity="error",
                    problem=f"{' and '.join(sorted(names))} have the same {called}, {value}",
                    meaning="a volume that is mapped to one host is mapped to the other, so both"
                    " can write to it",
                    advice=_RENAME[field],
                )


def _namesakes(registered: list[Connector]) -> Iterator[Finding]:
    """Different machines with the same node name: they would share their connections."""
    by_host: dict[str, set[str]] = {}
    for connector in registered:
        if initiator := connector.get("initiator"):
            by_host.setdefault(connector["host"], set()).add(str(initiator))
    for host, initiators in sorted(by_host.items()):
        if len(initiators) > 1:
            yield Finding(
                check="store.namesakes",
                severity="warning",
                problem=f"nodes with the iSCSI initiator names {' and '.join(sorted(initiators))}"
                f" are registered, and all report the host name {host}",
                meaning="cinderlib treats them as one host: a volume that is connected to one may"
                " be used by the other too",
                advice="If they are different hosts, name them ([node] host, or `hostnamectl"
                " set-hostname`) and register them again. If it is one host with a"
                " renamed initiator, register it again under each name.",
            )


def _owners(connectors: list[Connector], field: str) -> dict[str, set[str]]:
    """The hosts for each value of an identifying property."""
    owners: dict[str, set[str]] = {}
    for connector in connectors:
        value = connector.get(field)
        for item in value if isinstance(value, list) else [value]:
            if item:
                owners.setdefault(str(item).lower(), set()).add(connector["host"])
    return dict(sorted(owners.items()))


def _registered(controller: Controller) -> Iterator[Connector]:
    """The connectors that nodes registered in the store."""
    try:
        for _, connector in controller.nodes():
            if isinstance(connector.get("host"), str):
                yield connector
    except Unsupported:
        return  # Nodes can register in such a store, but it cannot list them.


def _connected(controller: Controller) -> Iterator[Connector]:
    """The connectors of all connections."""
    for connection in controller.connections():
        if isinstance(connection.connector_info.get("host"), str):
            yield connection.connector_info


_RENAME = {
    "initiator": "On all but one of them, when no volume is attached: `echo"
    ' "InitiatorName=$(iscsi-iname)" >/etc/iscsi/initiatorname.iscsi`, restart iscsid, and'
    " `cinderlib node register` it again.",
    "nqn": "On all but one of them, when no volume is attached: `rm /etc/nvme/hostnqn`, follow the"
    " advice of `cinderlib doctor`, and `cinderlib node register` it again.",
    "wwpns": "The vendor gives each port its own name: search for virtual ports (NPIV) that were"
    " copied with a machine.",
}


def _backend(
    controller: Controller, host: Host, name: str, options: Mapping[str, Any]
) -> Iterator[Finding]:
    meaning = f"backend {name} does not load"
    try:
        lacks = controller._lacks(name, options)
    except CinderlibError as exc:
        python = shlex.quote(sys.executable)
        no_cinder = isinstance(exc, MissingDependency) and "Cinder is not installed" in str(exc)
        yield Finding(
            check="backend.options",
            severity="error",
            problem=" ".join(str(exc).split()),
            meaning=meaning,
            commands=(f"{python} -m pip install cinder",) if no_cinder else (),
            advice="" if no_cinder else "`cinderlib config check` shows the line.",
        )
        return
    yield from _lacks(host, name, lacks, meaning)
    if protocols.is_lvm(options):
        yield from _lvm(host, name, options, meaning)


def _lacks(host: Host, name: str, lacks: Lacks, meaning: str) -> Iterator[Finding]:
    if lacks.commands:
        yield repair_commands.missing(host, "backend.commands", lacks.commands, meaning)
    # Distributions package these modules for their own Python; PyPI does not have them.
    ceph = [module for module in ("rados", "rbd") if f"{module} (" in "".join(lacks.packages)]
    if ceph:
        yield Finding(
            check="backend.packages",
            severity="error",
            problem=f"the driver of backend {name} needs {' and '.join(ceph)}, which this Python"
            " does not have",
            meaning=meaning,
            commands=rbd.library_commands(host, ceph),
        )
    others = [package for package in lacks.packages if "(" not in package]
    if others:
        yield Finding(
            check="backend.packages",
            severity="warning",
            problem=f"the driver of backend {name} can use {' and '.join(others)}, which"
            f" {'is' if len(others) == 1 else 'are'} not installed",
            meaning=f"{meaning}, or the driver does not work completely",
            commands=(f"{shlex.quote(sys.executable)} -m pip install {' '.join(others)}",),
        )


def _lvm(host: Host, name: str, options: Mapping[str, Any], meaning: str) -> Iterator[Finding]:
    group = str(options.get("volume_group") or "cinder-volumes")
    if host.which("vgs") is None:
        return  # Already reported as a missing command of the driver.
    shown = host.output("vgs", "--noheadings", "-o", "vg_name", group)
    if shown is None and host.acts_as_root:
        yield Finding(
            check="backend.volume-group",
            severity="error",
            problem=f"LVM shows no volume group {group}, which backend {name} uses",
            meaning=meaning,
            advice=f"Create it: `vgcreate {group} DISK`. If it exists, LVM's filter hides its"
            " disk: `lvmconfig --type full devices/global_filter` shows that.",
        )
    thin = str(options.get("lvm_type") or "auto") in ("auto", "thin")
    if thin and host.which("thin_check") is None:
        unchecked = f"a thin pool of backend {name} is not checked when it is activated"
        yield repair_commands.missing(
            host, "backend.thin", ["thin_check"], unchecked, severity="warning"
        )
    helper = str(options.get("target_helper") or "tgtadm")
    if helper == "tgtadm" and protocols.of(options) == "iscsi" and host.which("tgtadm") is None:
        yield repair_commands.missing(host, "backend.target", ["tgtadm"], meaning)
    elif helper == "lioadm":
        yield from repair_commands.modules(host, _LIO, "backend.target", meaning)
