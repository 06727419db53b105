"""The imports of a node, and their effects on the program."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"cinder", "eventlet", "os_brick", "oslo_config", "oslo_concurrency", "sqlalchemy"}


def _run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "program",
    [
        "import cinderlib.node",
        "from cinderlib.node import Node; Node(state_path='x').connector_properties('local')",
        "import cinderlib.node.local, cinderlib.node.rbd, cinderlib.node.iscsi, "
        "cinderlib.node.nvme, cinderlib.node.remotefs, cinderlib.node.fibre_channel",
    ],
)
def test_os_brick_is_imported_on_demand(program: str) -> None:
    loaded = _run(f"{program}\nimport sys\nprint(*sys.modules)").split()
    assert not HEAVY & {name.partition(".")[0] for name in loaded}


def test_a_protocol_loads_one_connector_without_changing_the_process() -> None:
    program = """
import logging, os, signal, sys, threading, time, warnings
def look():
    root = logging.getLogger()
    return (time.sleep, dict(os.environ), list(warnings.filters), os.getcwd(), sys.argv,
            root.level, list(root.handlers), logging.lastResort, threading.active_count(),
            signal.getsignal(signal.SIGINT), sys.excepthook, threading.Thread, list(sys.path))
before = look()
from cinderlib.node import Node
node = Node(state_path="x")
assert node.connector_properties("nfs")["host"]
assert look() == before
import socket
assert socket.socket.__module__ == "socket"
print(*sys.modules)
"""
    loaded = set(_run(program).split())
    connectors = {n for n in loaded if n.startswith("os_brick.initiator.connectors.")}
    assert connectors == {f"os_brick.initiator.connectors.{n}" for n in ("base", "remotefs")}
    assert not {"cinder", "sqlalchemy", "oslo_service"} & loaded


def test_connector_properties_need_only_os_brick() -> None:
    program = """
import sys
sys.modules["futurist"] = None  # It comes with cinder, and not with os-brick.
from cinderlib.node import Node
print(Node(state_path="x").connector_properties()["host"])
"""
    assert _run(program).strip()
