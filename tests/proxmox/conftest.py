"""Nodes of a Proxmox cluster: services with their own host names, and one store, or one service on
another host for all."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator

import certificates
import pytest
from service.running import Service

SOURCE = pathlib.Path(__file__).parents[2] / "contrib/proxmox"


class Node(Service):
    """The service of one node.

    :param shared: the folder with the store, the locks and the volumes of all nodes.
    """

    def __init__(self, folder: pathlib.Path, shared: pathlib.Path, name: str) -> None:
        folder.mkdir()
        self.name = name
        self._boot_id = folder / "boot_id"
        self.links = folder / "links"
        self.shared = shared
        super().__init__(folder)
        self.boot()

    driver = "file"

    def configure(self, service: str = "", backends: str = "") -> None:
        self.config.write_text(
            f'include = "{self.shared}/priv/cinderlib/*.toml"\n'
            f'[store]\nconnection = "sqlite:///{self.shared}/metadata.sqlite"\n'
            f'[controller]\nhost = "cluster"\nstate_path = "{self.folder}/state"\n'
            f'file_locks_path = "{self.shared}/locks"\n'
            f'[service]\nsocket = "{self.socket}"\nlinks = "{self.links}"\n{service}\n'
            f'[backends.files]\nvolume_driver = "{self.driver}"\n'
            f'file_root = "{self.shared}/volumes"\n'
            '[backends.slow]\nvolume_driver = "proxmox.slow_files.SlowFiles"\n'
            f'file_root = "{self.shared}/slow"\n'
            f"{backends}"
        )

    def configure_for(self, central: Central, client: dict[str, str]) -> None:
        """Use a service on another host instead of an own store and driver."""
        self.config.write_text(
            f'[controller]\nstate_path = "{self.folder}/state"\n'
            f'[node]\nservice = "{central.address}"\n'
            + "".join(f'{option} = "{file}"\n' for option, file in client.items())
            + f'[service]\nsocket = "{self.socket}"\nlinks = "{self.links}"\n'
        )

    def run(self) -> Node:
        """Start it with its own host name and boot ID."""
        script = (
            f"hostname {self.name}; mount --bind {self._boot_id} /proc/sys/kernel/random/boot_id;"
            ' exec "$@"'
        )
        self.start(program=["unshare", "--uts", "--mount", "sh", "-c", script, "sh"])
        return self

    def boot(self) -> None:
        """The next start is after a boot: the node has no links, and the kernel another ID."""
        self._boot_id.write_text(f"{uuid.uuid4()}\n")
        shutil.rmtree(self.links, ignore_errors=True)


class Central(Node):
    """A service that has the driver and the store, for nodes that only attach."""

    driver = "service.cluster_files.ClusterFiles"

    def __init__(self, folder: pathlib.Path, shared: pathlib.Path) -> None:
        super().__init__(folder, shared, "central")
        self.authority = certificates.Authority(folder, "ca")
        self.authority.issue("service", common_name="service")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"https://127.0.0.1:{port}"
        self.configure(
            f'listen = "127.0.0.1:{port}"\ncertificate = "service.pem"\nkey = "service.key"\n'
            'client_ca = "ca.pem"\nclients = { node1 = "operate", node2 = "operate" }\n'
        )

    def serve(self, node: Node) -> None:
        """Have a node use this service."""
        client = {
            "certificate": str(self.authority.issue(node.name, common_name=node.name)),
            "key": f"{self.folder}/{node.name}.key",
            "ca": str(self.authority.certificate),
        }
        node.configure_for(self, client)


class Cluster:
    """Nodes with one array.

    :param names: of the nodes.
    :param central: whether another host has the store and the driver; by default the nodes have
        them.
    """

    def __init__(self, folder: pathlib.Path, *names: str, central: bool = False) -> None:
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.volumes = self.shared / "volumes"
        self.nodes = [Node(folder / name, self.shared, name) for name in names]
        self.services = list(self.nodes)
        if central:
            service = Central(folder / "central", self.shared)
            for node in self.nodes:
                service.serve(node)
            self.services.insert(0, service)

    def __enter__(self) -> Cluster:
        # Snapshots of disks that a guest writes to need a filesystem that can clone files.
        image = self.shared / "array.img"
        with image.open("wb") as file:
            file.truncate(100 * 1024**3)
        self.volumes.mkdir()
        subprocess.run(["mkfs.xfs", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.volumes], check=True)
        for service in self.services:
            service.run()
        return self

    def __exit__(self, *error: object) -> None:
        for service in reversed(self.services):
            service.__exit__()
        for device in self.loop_devices():
            subprocess.run(["losetup", "--detach", device], check=True)
        subprocess.run(["umount", self.volumes], check=True)

    def loop_devices(self) -> list[str]:
        """The devices of attached volumes."""
        # Not by their paths, which depend on the mounts of a node that may have ended.
        device = os.stat(self.volumes).st_dev
        found = subprocess.run(
            ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-MAJ:MIN"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        pairs = (line.split() for line in found.splitlines())
        return [name for name, on in pairs if on == f"{os.major(device)}:{os.minor(device)}"]

    def lose_power(self, node: Node) -> None:
        """Restart a node that is the only one with devices, as after a power failure."""
        node.stop(signal.SIGKILL)
        for device in self.loop_devices():
            subprocess.run(["losetup", "--detach", device], check=True)
        node.boot()
        node.run()

    def wait_for_calls(self) -> None:
        """Wait until the services have finished the calls of killed clients."""
        for service in reversed(self.services):
            for call in service.ask("GET", "/v1/operations")[1]:
                service.ask("GET", f"/v1/operations/{call['id']}?wait=true")

    def prove(self, *tests: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run tests in Perl, in taint mode as Proxmox's daemons."""
        program = ["prove", "--merge", "--verbose"]
        if len(self.services) == len(self.nodes):
            environment["CINDERLIB_PRIV"] = f"{self.shared}/priv"
        return self._perl(program, *(f"t/{test}.t" for test in tests), **environment)

    def act(
        self, action: str, interrupt: str = "nobody 0", *, number: int = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run one action of Proxmox on a node.

        :param interrupt: see ``t/act.pl``.
        :param number: of the node, counted from 0.
        """
        nodes = json.dumps(_of([self.nodes[number]]))
        program, interruption = ["perl", "-T"], {"CINDERLIB_INTERRUPT": interrupt}
        return self._perl(program, "t/act.pl", action, CINDERLIB_NODES=nodes, **interruption)

    def speed(self, disks: int) -> dict[str, list[float]]:
        """The milliseconds of 20 calls of each kind, with so many disks."""
        done = self._perl(["perl", "-T"], "t/speed.pl", str(disks))
        assert done.returncode == 0, done.stderr
        found: dict[str, list[float]] = json.loads(done.stdout)
        return found

    def _perl(
        self, program: list[str], *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program, "-I", "lib", "-I", "t/lib", *arguments],
            cwd=SOURCE,
            env={
                **os.environ,
                "CINDERLIB_NODES": json.dumps(_of(self.nodes)),
                "CINDERLIB_LOCKS": str(self.shared),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )


def _of(nodes: list[Node]) -> dict[str, dict[str, str]]:
    """Nodes as the programs in Perl expect them."""
    return {node.name: {"socket": str(node.socket), "links": str(node.links)} for node in nodes}


@pytest.fixture(scope="module", params=["a store in common", "a central service"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running cluster of two nodes."""
    if os.geteuid() != 0 or not shutil.which("prove") or not shutil.which("mkfs.xfs"):
        pytest.skip("needs root, for loop devices, prove of Perl, and mkfs.xfs")
    central = request.param == "a central service"
    with (
        tempfile.TemporaryDirectory(prefix="cl-") as name,
        Cluster(pathlib.Path(name), "node1", "node2", central=central) as cluster,
    ):
        yield cluster
