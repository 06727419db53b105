"""The machines, warm Python processes in them, and the look for leftovers around every scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab.machine import NUMBERS, Machine, Session, address
from lab.run import Run


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the long scenarios in full length")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Writes a line to the terminal, past pytest's capturing."""
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            terminal.write_line(f"  lab: {line}")

    return write


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest, say: Callable[[str], None]) -> Iterator[Run]:
    """The run, with the machines that the scenarios asked for need."""
    run = Run(say)
    try:
        used = {
            name for item in request.session.items for name in getattr(item, "fixturenames", ())
        }
        run.start(used & set(NUMBERS))
        yield run
    finally:
        run.stop()


@pytest.fixture(scope="session")
def controller(run: Run) -> Machine:
    """The machine with the arrays: LVM volume groups, LIO, nvmet, an NFS server, PostgreSQL."""
    machine = run.machines["controller"]
    machine.run(
        """
        for group in 0:cinder-volumes 1:thick; do
            vgcreate -q "${group#*:}" /dev/disk/by-id/virtio-data${group%:*}
        done
        """
    )
    return machine


@pytest.fixture(scope="session")
def node1(run: Run) -> Machine:
    """A machine that uses volumes, without cinder and without a database."""
    return run.machines["node1"]


@pytest.fixture(scope="session")
def node2(run: Run) -> Machine:
    """Another of these."""
    return run.machines["node2"]


@pytest.fixture(scope="session")
def control(controller: Machine) -> Iterator[Session]:
    """A Python process on the controller; its backends are ``lvm`` (thin) and ``thick``."""
    with controller.python() as python:
        python(
            """
            import json, os, hashlib
            import cinderlib as cl
            cl.setup(persistence_config={'storage': 'db', 'connection': url},
                     disable_logs=False)
            common = {'volume_driver': 'lvm', 'target_protocol': 'iscsi', 'target_helper': 'lioadm',
                      'target_ip_address': portals[0],
                      'target_secondary_ip_addresses': portals[1:]}
            lvm = cl.Backend('lvm', volume_group='cinder-volumes', lvm_type='thin', **common)
            thick = cl.Backend('thick', volume_group='thick', lvm_type='default', **common)
            """,
            portals=[address("controller", 1), address("controller", 2)],
            url="sqlite:////root/store.sqlite",
        )
        yield python


@pytest.fixture(autouse=True)
def leftovers(run: Run, request: pytest.FixtureRequest) -> Iterator[None]:
    """After a scenario every machine has what it had before, and the store too."""
    python = request.getfixturevalue("control") if "control" in request.fixturenames else None
    before = run.inventories(), _rows(python)
    yield
    after = run.inventories(), _rows(python)
    assert after == before


def _rows(python: Session | None) -> dict[str, list[str]]:
    if python is None:
        return {}
    rows: dict[str, list[str]] = python(
        """
        store = cl.Backend.persistence
        {'volumes': [v.id for v in store.get_volumes()],
         'snapshots': [s.id for s in store.get_snapshots()],
         'connections': [c.id for c in store.get_connections()]}
        """
    )
    return rows
