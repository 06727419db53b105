"""Fibre Channel: the host bus adapters, their ports, and the arrays that they reach."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

_HOSTS = "/sys/class/fc_host"
#: The ports that an adapter reaches: ``rport-HOST:CHANNEL-NUMBER``.
_REMOTE_PORTS = "/sys/class/fc_remote_ports"


def check(host: Host) -> Iterator[Finding]:
    """Find problems with Fibre Channel."""
    ports = host.names(_HOSTS)
    if not ports:
        yield Finding(
            check="fc.adapter",
            severity="error",
            problem=f"this host has no Fibre Channel adapter ({_HOSTS} is empty)",
            meaning="no volume can be attached over Fibre Channel",
            advice="Check with lspci that the adapter exists, and load its kernel module"
            " (lpfc, qla2xxx, bfa, fnic, ...).",
        )
    states = {port: (host.read(f"{_HOSTS}/{port}/port_state") or "").strip() for port in ports}
    down = [port for port, state in states.items() if state != "Online"]
    for port in down:
        state = states[port] or "in an unknown state"
        yield Finding(
            check="fc.port",
            severity="error" if len(down) == len(ports) else "warning",
            problem=f"the port {port} ({_name(host, port)}) is {state}",
            meaning="no volume can be attached over this port",
            advice="Check the cable and the switch port.",
        )
    for port in ports:
        if port not in down and not _reaches_an_array(host, port):
            yield Finding(
                check="fc.target",
                severity="warning",
                problem=f"the port {port} ({_name(host, port)}) reaches no array",
                meaning="no volume can be attached over this port",
                advice="Check the cable, and the zoning of the switches: this port and a port of"
                " the array must be in the same zone.",
            )


def _name(host: Host, port: str) -> str:
    return (host.read(f"{_HOSTS}/{port}/port_name") or "").strip()


def _reaches_an_array(host: Host, port: str) -> bool:
    """Whether a remote port of an adapter's port is logged in, and has the role of a target."""
    prefix = f"rport-{port.removeprefix('host')}:"
    return any(
        "FCP Target" in (host.read(f"{_REMOTE_PORTS}/{each}/roles") or "")
        and (host.read(f"{_REMOTE_PORTS}/{each}/port_state") or "").strip() == "Online"
        for each in host.names(_REMOTE_PORTS)
        if each.startswith(prefix)
    )
