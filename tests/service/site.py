"""A service that other hosts reach over TLS."""

from __future__ import annotations

import os
import pathlib
import socket

import certificates
from service.running import Service

import cinderlib as cl


class Site:
    """A service on TCP, and hosts with certificates that use it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.authority = certificates.Authority(folder, "ca")
        self.authority.issue("service", common_name="service")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.port = port
        self.url = f"https://127.0.0.1:{port}"
        clients = "\n".join(
            f'{name} = "{role}"'
            for name, role in {
                "node1": "node",
                "node2": "node",
                "reader": "read",
                "operator": "operate",
                "administrator": "administer",
            }.items()
        )
        self.service = Service(
            folder,
            service=(
                f'listen = "127.0.0.1:{port}"\ncertificate = "service.pem"\nkey = "service.key"\n'
                f'client_ca = "ca.pem"\n[service.clients]\n{clients}\n'
            ),
            backends=(
                '[backends.files]\nvolume_driver = "service.cluster_files.ClusterFiles"\n'
                f'file_root = "{folder}/volumes"\n'
            ),
        )

    def client(self, name: str, host: str | None = None) -> cl.NodeClient:
        """A host with its own state folder and certificate."""
        return cl.NodeClient(
            self.url,
            certificate=self.authority.issue(name, common_name=name),
            key=self.folder / f"{name}.key",
            ca=self.authority.certificate,
            node=cl.Node(host=host or name, state_path=self.folder / f"state-{name}"),
        )

    def configure(self, name: str) -> dict[str, str]:
        """Write a host's configuration. Returns the environment for its commands."""
        self.authority.issue(name, common_name=name)
        path = self.folder / f"{name}.toml"
        path.write_text(
            f'[controller]\nstate_path = "{self.folder}/state-{name}"\n'
            f'[node]\nhost = "{name}"\nservice = "{self.url}"\n'
            f'certificate = "{name}.pem"\nkey = "{name}.key"\nca = "ca.pem"\n'
        )
        return {**os.environ, "CINDERLIB_CONFIG": str(path), "CINDERLIB_SERVICE": "none"}
