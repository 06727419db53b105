"""A cluster of Proxmox VE with the storage type in ``contrib/proxmox``. A Perl program calls it in
the place of Proxmox. The controller runs a service, which the services of the nodes use."""

from __future__ import annotations

import copy
import json
import pathlib
import runpy
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lvm

from lab.machine import ENVIRONMENT, WITH_STORE, Machine, Session
from lab.networks import address

_TESTS = pathlib.Path(__file__).parents[2] / "tests"
_FOLDER = "/root/proxmox"
#: Not the default, with which other scenarios would use it.
_SOCKET = "/run/proxmox.sock"
_LINKS = "/dev/cinderlib"
_PORT = 8775
_PERL = "/opt/project/proxmox"

_CENTRAL = f"""
[store]
connection = "sqlite:///{_FOLDER}/store.sqlite"
[controller]
state_path = "{_FOLDER}/state"
[service]
socket = "{_SOCKET}"
listen = "{address("controller", 1)}:{_PORT}"
certificate = "controller.pem"
key = "controller.key"
client_ca = "ca.pem"
clients = {{ node1 = "operate", node2 = "operate" }}
"""
#: Backends by name: their volume group and kind of logical volumes.
_BACKENDS = {"array": ("cinder-volumes", "thin"), "thick": ("thick", "default")}
_NODE = f"""
[node]
service = "https://{address("controller", 1)}:{_PORT}"
certificate = "{{name}}.pem"
key = "{{name}}.key"
ca = "ca.pem"
[service]
socket = "{_SOCKET}"
links = "{_LINKS}"
"""


class Host:
    """A machine with a service.

    :param environment: the variables with which the service finds its packages.
    :param certificates: contents by name of the file.
    """

    def __init__(
        self, machine: Machine, environment: str, configuration: str, certificates: dict[str, str]
    ) -> None:
        self.machine = machine
        self._environment = environment
        names = ("ca.pem", f"{machine.name}.pem", f"{machine.name}.key")
        files = {"cinderlib.toml": configuration, **{name: certificates[name] for name in names}}
        written = [f"cat >{name} <<'END'\n{text}\nEND\n" for name, text in files.items()]
        # A machine that loses its power soon has them nevertheless.
        machine.run(f"mkdir -p {_FOLDER}; cd {_FOLDER}; umask 077\n{''.join(written)}sync")

    def start(self) -> None:
        """Start the service, and wait until it answers."""
        self.machine.run(
            f"""
            {self._environment} CINDERLIB_CONFIG={_FOLDER}/cinderlib.toml \
                cinderlib serve </dev/null >/dev/hvc0 2>&1 &
            echo $! >/run/proxmox.pid
            exec 2>/dev/hvc0
            until printf 'GET /health HTTP/1.0\\r\\n\\r\\n' |
                socat -t 60 - UNIX:{_SOCKET} | grep -q ' 200 '
            do
                kill -0 $! || exit
                sleep 0.5
            done
            """
        )

    def stop(self) -> None:
        """Stop the service."""
        # Its parent, the first process of the machine, does not wait for it.
        self.machine.run(
            """
            process=$(</run/proxmox.pid)
            kill "$process"
            while ps -o stat= "$process" | grep -q '^[^Z]'; do sleep 0.2; done
            """
        )


class Node(Host):
    """A node. Calling it is a call of Proxmox: see ``contrib/proxmox/t/node.pl``."""

    _backend = "array"

    def on(self, backend: str) -> Node:
        """The node with another backend as the storage."""
        node = copy.copy(self)
        node._backend = backend
        return node

    def __call__(self, call: str, *arguments: str | int) -> Any:
        nodes = {self.machine.name: {"socket": _SOCKET, "links": _LINKS}}
        command = [
            *("env", f"CINDERLIB_NODES={json.dumps(nodes)}", "CINDERLIB_LOCKS=/run"),
            *("perl", "-T", f"-I{_PERL}/lib", f"-I{_PERL}/t/lib", f"{_PERL}/t/node.pl", "lab"),
            *(self._backend, call, *map(str, arguments)),
        ]
        return json.loads(self.machine.program(shlex.join(command)))

    @contextmanager
    def guest(self, disk: str, **names: Any) -> Iterator[Session]:
        """A process in the place of QEMU, which keeps the device of an active disk open.

        :param names: of values in the process.
        """
        with self.machine.python() as python:
            python(
                """
                import os
                import types
                import data
                attachment = types.SimpleNamespace(path=path)
                held = os.open(path, os.O_RDWR)
                """,
                path=self("path", disk),
                **names,
            )
            yield python


class Cluster:
    """The service on the controller, and two nodes."""

    def __init__(self, controller: Machine, *nodes: Machine) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            authority = runpy.run_path(str(_TESTS / "certificates.py"))["Authority"](folder, "ca")
            for machine in (controller, *nodes):
                place = address(machine.name, 1)
                authority.issue(machine.name, common_name=machine.name, address=place)
            files = {path.name: path.read_text() for path in folder.iterdir()}
        backends = "".join(
            lvm.backend(name, group=group, kind=kind, portals=2, multipath=True)
            for name, (group, kind) in _BACKENDS.items()
        )
        self.controller = Host(controller, ENVIRONMENT, _CENTRAL + backends, files)
        self.nodes = [
            Node(machine, WITH_STORE, _NODE.format(name=machine.name), files) for machine in nodes
        ]
        self._hosts: list[Host] = [self.controller, *self.nodes]

    def __enter__(self) -> Cluster:
        for host in self._hosts:
            host.start()
        return self

    def __exit__(self, *_: object) -> None:
        for host in reversed(self._hosts):
            host.stop()
