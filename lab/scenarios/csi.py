"""The CSI plug-in as in a cluster: the service Controller next to the array, and the service Node
on two nodes with the distribution for nodes. Like in a container, it has a mount namespace."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import ceph
import fibre_channel
import lvm
import pytest
from steps import shows

from lab.machine import CSI_TESTS, WITH_CSI, Machine, Session
from lab.networks import address

_FOLDER = "/root/csi"
_SOCKETS = "/run/csi"
#: Kubernetes' folder for staging and target paths, the only one whose mounts are propagated.
KUBELET = "/var/lib/kubelet"
#: Takes the place of the sidecars and the API server between the controller and the nodes.
_PORT = 9808
_CONTROLLER = f"""
[store]
connection = "sqlite:///{_FOLDER}/store.sqlite"
encryption_keys = {{ file = "store.key" }}
[controller]
state_path = "{_FOLDER}/state"
[csi]
keys = {{ file = "csi.key" }}
"""
_NODE = """
[node]
my_ip = "{address}"
multipath = {multipath}
[csi]
keys = {{ file = "csi.key" }}
protocols = {protocols}
"""


@dataclasses.dataclass(frozen=True)
class Array:
    """A backend of the controller, and the resources of a volume on a node.

    :ivar configuration: of the backend, in TOML.
    :ivar protocol: the protocol of the nodes.
    :ivar device: how the path of a device begins.
    :ivar kind: the kind of the resources in the inventory of a machine.
    :ivar paths: the number of these resources.
    """

    configuration: str
    protocol: str
    device: str
    kind: str
    paths: int


ARRAYS = {
    "lvm": Array(lvm.backend(portals=2), "iscsi", "/dev/mapper/", "SCSI devices", 2),
    "fc": Array(fibre_channel.backend(), "fc", "/dev/mapper/", "SCSI devices", 2),
    "nvme": Array(lvm.nvme_backend(), "nvmeof", "/dev/nvme", "NVMe controllers", 2),
    "ceph": Array(ceph.backend(), "rbd", "/dev/rbd", "RBD maps", 1),
}
#: The calls of an orchestrator, in a Python process on a node.
_ORCHESTRATOR = """
    import pathlib, types
    import grpc
    from cinderlib.csi.wire import messages as m
    from cinderlib.testing.csi.plugin import GIB, Plugin, block, mount
    folder = pathlib.Path(folder)
    csi = Plugin(f'unix://{sockets}/node.sock', folder, timeout=600.0,
                 controller=f'unix://{sockets}/controller.sock', parameters={'backend': 'lvm'})
    csi.patient = True
    def refusal(method, **fields):
        try:
            csi.call(method, **fields)
        except grpc.RpcError as error:
            return error.code().name, error.details()
        return None
"""


class Plugin:
    """The plug-in on one machine.

    :param mode: ``controller`` or ``node``.
    """

    def __init__(self, machine: Machine, mode: str, configuration: str, key: str) -> None:
        self.machine = machine
        self._mode = mode
        self._key = key
        self.configure(configuration)

    def configure(self, configuration: str) -> None:
        """Write the configuration, for the next start."""
        self.machine.run(
            f"""
            umask 077
            mkdir -p {_FOLDER}
            cd {_FOLDER}
            echo {self._key} >csi.key
            [[ -e store.key ]] || head -c 32 /dev/urandom | base64 | tr '+/' '-_' >store.key
            echo '{configuration}' >cinderlib.toml
            sync
            """
        )

    def start(self) -> None:
        """Start the plug-in and the relay between nodes and controller."""
        namespace = ""
        before = ""
        relay = f"TCP-LISTEN:{_PORT},reuseaddr,fork UNIX-CONNECT:{_SOCKETS}/controller.sock"
        if self._mode == "node":
            # `mountPropagation: Bidirectional`; other folders are not shared.
            before = f"""
                mkdir -p {KUBELET}
                mount --make-rprivate /
                mountpoint -q {KUBELET} || mount --bind {KUBELET} {KUBELET}
                mount --make-shared {KUBELET}
            """
            namespace = "unshare --mount --propagation unchanged"
            relay = f"UNIX-LISTEN:{_SOCKETS}/controller.sock,fork,unlink-early TCP:"
            relay += f"{address('controller', 1)}:{_PORT}"
        self.machine.run(
            f"""
            {before}
            mkdir -p {_SOCKETS}
            {WITH_CSI} CINDERLIB_CONFIG={_FOLDER}/cinderlib.toml \
                {namespace} cinderlib csi --mode {self._mode} \
                --endpoint unix://{_SOCKETS}/{self._mode}.sock \
                </dev/null >/dev/hvc0 2>&1 &
            echo $! >/run/csi.pid
            socat {relay} </dev/null >/dev/hvc0 2>&1 &
            echo $! >/run/csi-relay.pid
            exec 2>/dev/hvc0
            until [[ -S {_SOCKETS}/{self._mode}.sock ]]; do
                kill -0 "$(</run/csi.pid)" || exit
                sleep 0.2
            done
            """
        )

    def command(self, arguments: str) -> str:
        """Run ``cinderlib`` with the configuration of the plug-in.

        :returns: the output.
        """
        file = f"{_FOLDER}/cinderlib.toml"
        return self.machine.run(f"{WITH_CSI} CINDERLIB_CONFIG={file} cinderlib {arguments}")

    def stop(self) -> None:
        """Stop the plug-in."""
        # Its parent, the first process of the machine, does not wait for it.
        self.machine.run(
            """
            for process in $(cat /run/csi.pid /run/csi-relay.pid); do
                kill "$process"
                while ps -o stat= "$process" | grep -q '^[^Z]'; do sleep 0.2; done
            done
            """
        )


class Node(Plugin):
    """The plug-in on a node, and the part of the orchestrator there.

    :param arrays: the backends that it uses.
    """

    def __init__(self, machine: Machine, arrays: Collection[str], key: str) -> None:
        self._arrays = arrays
        super().__init__(machine, "node", self._configuration(machine, multipath=True), key)

    def _configuration(self, machine: Machine, *, multipath: bool) -> str:
        return _NODE.format(
            address=address(machine.name, 1),
            multipath=json.dumps(multipath),
            protocols=json.dumps([ARRAYS[each].protocol for each in self._arrays]),
        )

    def start(self) -> None:
        """Log in to the array over Fibre Channel if the node uses it, and start the plug-in."""
        if "fc" in self._arrays:
            fibre_channel.join(self.machine)
        super().start()

    @contextmanager
    def with_one_path(self) -> Iterator[None]:
        """While entered, the plug-in does not use multipath."""
        self._restart(multipath=False)
        try:
            yield
        finally:
            self._restart(multipath=True)

    def _restart(self, *, multipath: bool) -> None:
        self.stop()
        self.configure(self._configuration(self.machine, multipath=multipath))
        self.start()

    @contextmanager
    def orchestrator(self) -> Iterator[Session]:
        """A process that calls the plug-ins. ``csi`` is the client of the conformance suite."""
        self.machine.run(f"mkdir -p {KUBELET}/lab")
        with self.machine.python(CSI_TESTS) as python:
            python(_ORCHESTRATOR, folder=f"{KUBELET}/lab", sockets=_SOCKETS)
            yield python

    def suite(self, backend: str, arguments: str) -> str:
        """Run the conformance suite in a process on the node. Its output is in the machine's log.

        :param backend: the backend of the volumes.
        :param arguments: of pytest.
        :returns: the output.
        """
        return self.machine.run(
            f"""
            set -o pipefail
            export TMPDIR={KUBELET} PYTHONUNBUFFERED=1 BACKEND={backend}
            {CSI_TESTS} python3 /opt/project/guest/csi_suite.py {arguments} | tee /dev/hvc0
            """,
            timeout=6000,
        )


class Cluster:
    """The controller and the nodes.

    :param arrays: the backends: keys of :data:`ARRAYS`.
    """

    def __init__(self, controller: Machine, *nodes: Machine, arrays: Collection[str]) -> None:
        key = base64.b64encode(os.urandom(32)).decode()
        backends = "".join(ARRAYS[each].configuration for each in arrays)
        self._arrays = arrays
        self.controller = Plugin(controller, "controller", _CONTROLLER + backends, key)
        self.nodes = [Node(machine, arrays, key) for machine in nodes]

    def __enter__(self) -> Cluster:
        if "fc" in self._arrays:
            fibre_channel.serve(self.controller.machine)
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda each: each.start(), (self.controller, *self.nodes)))
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self.nodes, self.controller):
            each.stop()


def over(
    scenario: str,
    *,
    backends: Iterable[str] = tuple(ARRAYS),
    always: Iterable[str] = tuple(ARRAYS),
    parts: Iterable[str] = (),
) -> pytest.MarkDecorator:
    """Run a scenario with several backends, as this row of the table.

    :param always: the backends with which it also runs without ``--full``.
    :param parts: run each of these parts, as a row with ``{part}``.
    """
    cases = {
        "lvm": ("iscsi", "iSCSI multipath"),
        "fc": ("fibre_channel", "FC multipath"),
        "nvme": ("nvme", "NVMe/TCP"),
        "ceph": ("ceph", "RBD"),
    }
    return pytest.mark.parametrize(
        ("backend", "part") if parts else "backend",
        [
            pytest.param(
                *(backend, part) if parts else (backend,),
                id=f"{id}-{part}" if parts else id,
                marks=[
                    shows(scenario.format(part=part), column),
                    *([] if backend in always else [pytest.mark.full]),
                ],
            )
            for backend, (id, column) in cases.items()
            if backend in backends
            for part in parts or [""]
        ],
    )
