"""A cluster of etcd servers on free ports, in their own folders."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence

import servers


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Etcd:
    """A running cluster; every :meth:`database` is a new and empty prefix.

    :ivar members: the server processes.
    :ivar ports: on which they answer clients, in the same order.
    """

    def __init__(
        self,
        members: Sequence[servers.Process],
        ports: Sequence[int],
        control: Sequence[str],
        parameters: str,
    ) -> None:
        self.members = members
        self.ports = ports
        self._control = control
        self._parameters = parameters
        self._numbers = itertools.count()

    def database(self, login: str = "", parameters: str = "") -> str:
        """The URL of a new store.

        :param login: user and password, as in a URL.
        :param parameters: of the URL, in addition to those of the cluster.
        """
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        query = "&".join(filter(None, [self._parameters, parameters]))
        login = f"{login}@" if login else ""
        return f"etcd://{login}{hosts}/test{next(self._numbers)}{'?' if query else ''}{query}"

    def control(self, *arguments: str) -> str:
        """What ``etcdctl`` prints."""
        command = [servers.find("etcdctl", "etcd-client", probe=False)]
        command += [*self._control, *arguments]
        done = subprocess.run(command, capture_output=True, env={"ETCDCTL_API": "3"}, check=True)
        return done.stdout.decode(errors="replace")


@contextlib.contextmanager
def run(
    members: int = 1,
    *,
    options: Sequence[str] = (),
    control: Sequence[str] = (),
    parameters: str = "",
    durable: bool = False,
) -> Iterator[Etcd]:
    """
    :param members: how many servers the cluster has.
    :param options: further ones of the servers.
    :param control: further ones of ``etcdctl``; with them, the servers use TLS.
    :param parameters: of the URLs of stores.
    :param durable: whether a commit waits for the disk, as it does in use.
    """
    etcd = servers.find("etcd", "etcd-server")
    ports = free_ports(2 * members)
    clients, peers = ports[:members], ports[members:]
    scheme, ready = ("https", _listens) if control else ("http", _is_healthy)
    names = [f"m{number}" for number in range(members)]
    cluster = ",".join(
        f"{name}=http://127.0.0.1:{port}" for name, port in zip(names, peers, strict=True)
    )
    with servers.folder(None, in_memory=not durable) as root, contextlib.ExitStack() as stack:
        found = []
        for name, client, peer in zip(names, clients, peers, strict=True):
            url, peer_url = f"{scheme}://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
            command = [
                *(etcd, f"--name={name}", f"--data-dir={root / name}"),
                *(f"--listen-client-urls={url}", f"--advertise-client-urls={url}"),
                *(f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}"),
                *(f"--initial-cluster={cluster}", "--logger=zap", "--log-level=error", *options),
                # A busy machine lets a member wait for longer than the default of one second.
                *("--heartbeat-interval=200", "--election-timeout=2000"),
            ]
            if not durable:
                command.append("--unsafe-no-fsync")
            found.append(
                servers.Process(command, None, root / f"{name}.log", ready(client), signal.SIGKILL)
            )
        stack.callback(lambda: [member.stop() for member in found])
        for member in found:
            # Members become ready together.
            member.start(wait=False)
        for member in found:
            member.wait_until_ready(40)
        endpoints = ",".join(f"{scheme}://127.0.0.1:{client}" for client in clients)
        yield Etcd(found, clients, [f"--endpoints={endpoints}", *control], parameters)


def _listens(port: int) -> Callable[[], bool]:
    def ready() -> bool:
        with socket.socket() as found:
            return found.connect_ex(("127.0.0.1", port)) == 0

    return ready


def _is_healthy(port: int) -> Callable[[], bool]:
    """Whether a member has a leader."""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as answer:
                return b'"true"' in answer.read()
        except OSError:
            return False

    return ready
