"""Steps that several scenarios share."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.machine import Machine
from lab.networks import FIBRE_CHANNEL_NETWORKS, NETWORKS
from lab.session import RemoteError, Session

GIB = 1 << 30

#: Rows of the table that several scenarios fill.
BY_NODE = "Remote: attach by Node, data, detach"
BY_HAND = "Remote: attach with os-brick only"
EXTEND = "Extend while attached"
COPIES = "Snapshot and clone of an attached volume"
DETACHED_COPIES = "Snapshot and clone of a detached volume, extend"
TGTD = "Remote: exported by tgtd instead of the kernel"
CHECKED = "A device too small for the volume is refused, without leftovers"
READ_ONLY = "Read-only: writes are refused"

#: Seconds until a path fails and writes continue on the other, and until it is back.
FAILOVER_TIMEOUT = 240.0
#: Seconds until systemd has started everything. It gives the unit that attaches volumes 300.
SYSTEMD_TIMEOUT = 600.0

#: Writes data and records its checksums until ``stop`` is set. ``pause`` can be set before: the
#: time between two writes in seconds.
WRITER = """
    import data, threading, time
    stop, failed, written, longest = threading.Event(), [], {}, [0]
    pause = globals().get('pause', 0)
    def write():
        number = 0
        while not stop.is_set():
            place, began = number % 256, time.monotonic()
            try:
                written[place] = data.write(attachment.path, chunks=1, offset=place)
            except OSError as exc:
                failed.append(repr(exc))
            number += 1
            progress[0] = number
            longest[0] = max(longest[0], time.monotonic() - began)
            time.sleep(pause)
    def different():
        return [place for place, sha in written.items()
                if data.read(attachment.path, chunks=1, offset=place) != sha]
    progress = [0]
    writer = threading.Thread(target=write)
    writer.start()
"""


def shows(scenario: str, *protocols: str) -> pytest.MarkDecorator:
    """Mark a scenario with its row and protocols for the table."""
    return pytest.mark.shows(scenario, *protocols)


def over_scsi(*scenarios: str, core: bool = False) -> pytest.MarkDecorator:
    """Run a scenario over iSCSI and Fibre Channel, each with ``multipath`` false and true, as these
    rows of the table.

    :param core: whether the scenario over iSCSI is part of each run.
    """
    cases = []
    for array, protocol, prefix in (("lvm", "iSCSI", ""), ("fc", "FC", "fibre_channel_")):
        for multipath, column, name in (
            (False, protocol, "single"),
            (True, f"{protocol} multipath", "multipath"),
        ):
            marks = [shows(scenario, column) for scenario in scenarios]
            if core and array == "lvm":
                marks.append(pytest.mark.core)
            cases.append(pytest.param(array, multipath, id=prefix + name, marks=marks))
    return pytest.mark.parametrize(("array", "multipath"), cases, indirect=["array"])


def over_multipath(scenario: str) -> pytest.MarkDecorator:
    """Run a scenario over iSCSI and Fibre Channel with two paths, as this row of the table."""
    return pytest.mark.parametrize(
        "array",
        [
            pytest.param("lvm", id="iscsi", marks=shows(scenario, "iSCSI multipath")),
            pytest.param("fc", id="fibre_channel", marks=shows(scenario, "FC multipath")),
        ],
        indirect=True,
    )


def networks_of(array: str) -> tuple[int, int]:
    """The two networks between a backend of the controller and its nodes."""
    return FIBRE_CHANNEL_NETWORKS if array == "fc" else NETWORKS


def carry(document: Any) -> Any:
    """Serialize a document as for the transport to another machine."""
    return json.loads(json.dumps(document))


def connect(
    control: Session, node: Session, host: str, *, multipath: bool = False, **fields: Any
) -> None:
    """Connect the controller's ``vol`` to a node. Sets ``conn`` on the controller, and ``node`` and
    ``info`` on the node."""
    properties = node(
        "node = cl.Node(my_ip=my_ip, multipath=multipath); node.connector_properties()",
        multipath=multipath,
    )
    info = control(
        "conn = vol.connect(properties, attached_host=host, **fields); conn.connection_info",
        properties=carry(properties),
        host=host,
        fields=fields,
    )
    node("info = info", info=carry(info))


def refuses_writes(node: Session, written: str) -> None:
    """Check that the node's ``attachment`` can be read but not written."""
    assert node("data.read(attachment.path)") == written
    with pytest.raises(RemoteError) as caught:
        node("data.write(attachment.path)")
    assert caught.value.kind in ("PermissionError", "OSError")
    assert node("data.read(attachment.path)") == written


def refuses_another_volume(machine: Machine, node: Session) -> None:
    """Check that the node refuses a device that is smaller than the volume in its document, and
    that it leaves no session or device behind."""
    before = machine.inventory()
    refused = node(
        """
        larger = {**info, 'volume': {**info['volume'], 'size': 64 << 30}}
        try:
            node.attach(larger)
            refused = None
        except cl.errors.DeviceUnavailable as exc:
            refused = str(exc)
        refused
        """
    )
    assert refused
    assert "bytes, but the volume has 68719476736" in refused
    assert machine.inventory() == before


def until(condition: Callable[[], bool], what: str, timeout: float = FAILOVER_TIMEOUT) -> float:
    """Wait for a condition.

    :returns: the time that it took, in seconds.
    """
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            pytest.fail(f"not within {timeout:.0f} s: {what}")
        time.sleep(0.5)
    return time.monotonic() - began


def active_paths(machine: Machine) -> int:
    """The number of usable paths."""
    return machine.run("multipathd show paths format '%t %o'").count("active running")


def started(machine: Machine) -> None:
    """Wait until systemd has started everything on a machine.

    :raises AssertionError: a unit failed.
    """
    state = "systemctl is-system-running || true"
    until(
        lambda: machine.run(state).strip() in ("running", "degraded"),
        "systemd is started",
        SYSTEMD_TIMEOUT,
    )
    assert machine.run("systemctl list-units --failed --plain --no-legend") == ""
