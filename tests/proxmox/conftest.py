"""Nodes of a Proxmox cluster: services with their own host names, and one store."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

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
        self.links = folder / "links"
        self.shared = shared
        super().__init__(folder)

    def configure(self, service: str = "", backends: str = "") -> None:
        self.config.write_text(
            f'[store]\nconnection = "sqlite:///{self.shared}/metadata.sqlite"\n'
            f'[controller]\nhost = "cluster"\nstate_path = "{self.folder}/state"\n'
            f'file_locks_path = "{self.shared}/locks"\n'
            f'[service]\nsocket = "{self.socket}"\nlinks = "{self.links}"\n{service}\n'
            f'[backends.files]\nvolume_driver = "file"\nfile_root = "{self.shared}/volumes"\n'
            f"{backends}"
        )

    def run(self) -> Node:
        """Start it with its own host name."""
        program = ["unshare", "--uts", "sh", "-c", f'hostname {self.name}; exec "$@"', "sh"]
        self.start(program=program)
        return self


class Cluster:
    """Nodes with one store and one array.

    :param names: of the nodes.
    """

    def __init__(self, folder: pathlib.Path, *names: str) -> None:
        self.shared = folder / "shared"
        self.shared.mkdir()
        self.nodes = [Node(folder / name, self.shared, name) for name in names]

    def prove(self, *tests: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run tests in Perl, in taint mode as Proxmox's daemons."""
        nodes = {
            node.name: {"socket": str(node.socket), "links": str(node.links)} for node in self.nodes
        }
        return subprocess.run(
            ["prove", "--merge", "-I", "lib", "-I", "t/lib", *(f"t/{test}.t" for test in tests)],
            cwd=SOURCE,
            env={**os.environ, "CINDERLIB_NODES": json.dumps(nodes), **environment},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A running cluster of two nodes."""
    if os.geteuid() != 0 or not shutil.which("prove"):
        pytest.skip("needs root, for loop devices, and prove of Perl")
    with tempfile.TemporaryDirectory(prefix="cl-") as name:
        cluster = Cluster(pathlib.Path(name), "node1", "node2")
        try:
            for node in cluster.nodes:
                node.run()
            yield cluster
        finally:
            for node in cluster.nodes:
                node.__exit__()
