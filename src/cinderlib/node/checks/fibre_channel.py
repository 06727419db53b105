"""Fibre Channel: the host bus adapters and their ports."""

from __future__ import annotations

from collections.abc import Iterator

from cinderlib.node.checks.finding import Finding
from cinderlib.node.checks.host import Host

_HOSTS = "/sys/class/fc_host"


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
        name = (host.read(f"{_HOSTS}/{port}/port_name") or "").strip()
        yield Finding(
            check="fc.port",
            severity="error" if len(down) == len(ports) else "warning",
            problem=f"the port {port} ({name}) is {states[port] or 'in an unknown state'}",
            meaning="no volume can be attached over this port",
            advice="Check the cable, the switch port and the zoning.",
        )
