"""The machines, Python processes in them, and the check for leftovers after every scenario."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import ceph as ceph_backend
import fibre_channel
import pytest
from steps import GIB, started
from xdist.scheduler import LoadScopeScheduling

from lab.machine import Machine
from lab.networks import NUMBERS, address
from lab.run import Run
from lab.session import Session
from lab.table import VERSIONS, Table, tested_versions

#: Parts of names of scenarios whose set-up takes long. These scenarios share a run.
_TOGETHER = {
    "Ceph": ("rbd",),
    "NFS": ("nfs",),
    "Proxmox": ("test_proxmox",),
    "CSI": ("test_csi",),
    "Fibre Channel": ("fibre_channel",),
    "PostgreSQL": ("test_store", "test_ovirt", "by_the_adapter", "engines_own_client"),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long scenarios completely")
    parser.addoption(
        "--document", action="store_true", help="write the table into docs/connections.md"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: runs only with --full, because it takes long")
    config.addinivalue_line(
        "markers", "last: runs after all others, because it stops a machine or service"
    )
    config.addinivalue_line("markers", "shows(scenario, *protocols): for the table")
    config.pluginmanager.register(Table(config))


class _ByNeed(LoadScopeScheduling):
    """Assigns to each run the next scenario or group of scenarios."""

    def _split_scope(self, nodeid: str) -> str:
        for need, parts in _TOGETHER.items():
            if any(part in nodeid for part in parts):
                return need
        return nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _ByNeed(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.full:
        items[:] = [item for item in items if item.get_closest_marker("full") is None]
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture(scope="session")
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Writes a line to the terminal in spite of pytest's capturing."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    one_at_a_time = threading.Lock()

    def write(line: str) -> None:
        with one_at_a_time, capture.global_and_fixture_disabled():
            sys.stderr.write(f"  lab: {line}\n")
            sys.stderr.flush()

    return write


@pytest.fixture(scope="session")
def run(report: Callable[[str], None]) -> Iterator[Run]:
    """The run: each of pytest's workers has one, with separate machines."""
    run = Run(report, os.environ.get("PYTEST_XDIST_WORKER", ""))
    yield run
    run.stop()


@pytest.fixture(scope="session")
def controller(run: Run, request: pytest.FixtureRequest) -> Machine:
    """The machine with the arrays: LVM volume groups, LIO, nvmet, an NFS server, PostgreSQL."""
    machine = run.machine("controller")
    request.config.stash[VERSIONS] = tested_versions(machine)
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
    """A machine that attaches volumes, without cinder and without a database."""
    return run.machine("node1")


@pytest.fixture(scope="session")
def node2(run: Run) -> Machine:
    """A second machine that attaches volumes."""
    return run.machine("node2")


@pytest.fixture(scope="session")
def bare(run: Run) -> Machine:
    """A machine that is not prepared for storage."""
    return run.machine("bare")


@pytest.fixture(scope="session")
def service(run: Run) -> Machine:
    """A host with an array and systemd, for cinderlib as a service."""
    return _with_systemd(run.machine("service"))


@pytest.fixture(scope="session")
def node3(run: Run) -> Machine:
    """A machine that attaches volumes, with systemd."""
    return _with_systemd(run.machine("node3"))


def _with_systemd(machine: Machine) -> Machine:
    """Wait until systemd has started everything."""
    started(machine)
    return machine


@pytest.fixture(scope="session")
def ceph(run: Run) -> Machine:
    """A machine for a Ceph cluster."""
    return run.machine("ceph")


@pytest.fixture(scope="session")
def control(controller: Machine, load: Callable[[Session], None]) -> Iterator[Session]:
    """A Python process on the controller; its backends are ``lvm`` (thin) and ``thick``."""
    with controller.python() as python:
        load(python)
        yield python


@pytest.fixture(scope="session")
def load() -> Callable[[Session], None]:
    """Loads the library and the backends ``lvm`` and ``thick`` in a process on the controller."""
    return _load


def _load(python: Session) -> None:
    python(
        """
        import json
        import cinderlib as cl
        import data
        cl.setup(persistence_config={'storage': 'db', 'connection': url}, disable_logs=False)
        common = {'volume_driver': 'lvm', 'target_protocol': 'iscsi', 'target_helper': 'lioadm',
                  'target_ip_address': portals[0], 'target_secondary_ip_addresses': portals[1:]}
        lvm = cl.Backend('lvm', volume_group='cinder-volumes', lvm_type='thin', **common)
        thick = cl.Backend('thick', volume_group='thick', lvm_type='default', **common)
        """,
        portals=[address("controller", 1), address("controller", 2)],
        url="sqlite:////root/store.sqlite",
    )


@pytest.fixture(scope="session")
def ceph_cluster(ceph: Machine) -> Machine:
    """A machine with a Ceph cluster, the pool ``volumes`` and its user ``cinder``."""
    ceph_backend.serve(ceph)
    return ceph


@pytest.fixture(scope="session")
def ceph_user(ceph_cluster: Machine, controller: Machine) -> None:
    """A Ceph cluster, and the controller with the key of the user."""
    ceph_backend.join(ceph_cluster, controller)


@pytest.fixture(scope="session")
def rbd(ceph_user: None, control: Session) -> None:
    """A Ceph cluster, as the backend ``ceph`` of the controller."""
    control("ceph = cl.Backend('ceph', **options)", options=ceph_backend.OPTIONS)


@pytest.fixture(scope="session")
def nfs(controller: Machine, control: Session) -> str:
    """A folder that the controller exports over NFS, as its backend ``share``."""
    folder = "/srv/volumes"
    controller.run(f"/opt/project/guest/nfs {folder}")
    controller.run(f"echo '{address('controller', 1)}:{folder}' >/etc/cinder-shares")
    control(
        """
        share = cl.Backend('share', volume_driver='nfs', nfs_shares_config='/etc/cinder-shares',
                           nfs_mount_options='vers=4.2', nfs_snapshot_support=True,
                           nas_secure_file_operations='false',
                           nas_secure_file_permissions='false')
        """
    )
    return folder


@pytest.fixture(scope="session")
def tgtd(controller: Machine, control: Session) -> None:
    """The controller's backend ``tgt``: logical volumes exported by the target in user space."""
    folder, port = "/var/lib/tgt-volumes", 3261
    portals = [f"{address('controller', network)}:{port}" for network in (1, 2)]
    controller.run(f"/opt/project/guest/tgt {folder} {' '.join(portals)}")
    control(
        """
        tgt = cl.Backend('tgt', volume_group='cinder-volumes', lvm_type='thin', target_port=port,
                         volumes_dir=folder, **common | {'target_helper': 'tgtadm'})
        """,
        folder=folder,
        port=port,
    )


@pytest.fixture(scope="session")
def fibre_channel_array(controller: Machine, control: Session) -> None:
    """The controller exports volumes over Fibre Channel, as its backend ``fc``."""
    fibre_channel.serve(controller)
    control("fc = cl.Backend('fc', **options)", options=fibre_channel.OPTIONS)


@pytest.fixture
def array(request: pytest.FixtureRequest) -> str:
    """The backend of the controller that a parameter names: ``lvm`` (iSCSI) or ``fc``. The nodes of
    the scenario are logged in to it."""
    if request.param == "fc":
        request.getfixturevalue("fibre_channel_array")
        for name in ("node1", "node2"):
            if name in request.fixturenames:
                fibre_channel.join(request.getfixturevalue(name))
    return str(request.param)


@pytest.fixture
def nvme(controller: Machine, control: Session) -> Iterator[tuple[dict[str, Any], str]]:
    """The controller's ``vol`` behind an NVMe subsystem with a portal on each network: its
    connection document and its logical volume."""
    control("vol = lvm.create_volume(size=1)")
    name, volume_id = control("vol.name_in_storage, vol.id")
    backing = f"/dev/cinder-volumes/{name}"
    nqn = f"nqn.2026-11.lab.cinderlib:{volume_id}"
    portals = [address("controller", network) for network in (1, 2)]
    target = "/opt/project/guest/nvme-target"
    controller.run(f"lvchange -K -ay {backing}")
    controller.run(f"{target} export {nqn} {backing} {volume_id} {' '.join(portals)}")
    data = {
        "target_nqn": nqn,
        "portals": [[portal, 4420, "tcp"] for portal in portals],
        "vol_uuid": volume_id,
        "ns_id": 1,
    }
    yield (
        {
            "conn": {"driver_volume_type": "nvmeof", "data": data},
            "use_multipath": True,
            "scan_attempts": 3,
            "volume": {"id": volume_id, "size": GIB},
        },
        backing,
    )
    controller.run(f"{target} remove {nqn}")
    controller.run(f"lvchange -an {backing}")
    control("vol.delete()")


@pytest.fixture(scope="session")
def database(controller: Machine) -> str:
    """The URL of an empty database in the PostgreSQL of the controller."""
    controller.run("/opt/project/guest/postgresql cinderlib secret")
    return f"postgresql+psycopg2://cinderlib:secret@{address('controller', 1)}/cinderlib"


@pytest.fixture(scope="session")
def on_node1(node1: Machine) -> Iterator[Session]:
    """A Python process on the first node."""
    with _node_session(node1) as python:
        yield python


@pytest.fixture(scope="session")
def on_node2(node2: Machine) -> Iterator[Session]:
    """A Python process on the second node."""
    with _node_session(node2) as python:
        yield python


def _node_session(machine: Machine) -> Session:
    python = machine.python()
    python(
        """
        import importlib.util
        import cinderlib as cl
        import data
        assert not [n for n in ('cinder', 'sqlalchemy') if importlib.util.find_spec(n)]
        """,
        my_ip=address(machine.name, 1),
    )
    return python


@pytest.fixture(autouse=True)
def leftovers(run: Run, request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that a scenario leaves no resources on its machines or in the store.

    Resources of a backend, such as a thin pool, are not leftovers. So any scenario can run first.
    """
    python = request.getfixturevalue("control") if "control" in request.fixturenames else None
    machines = set(request.fixturenames) & set(NUMBERS)
    before = run.inventories(machines) | {"store": _rows(python)}
    yield
    after = run.inventories(machines) | {"store": _rows(python)}
    left = {
        (place, kind): new
        for place, kinds in after.items()
        for kind, names in kinds.items()
        if (new := sorted(set(names) - set(before[place][kind])))
    }
    assert not left


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
