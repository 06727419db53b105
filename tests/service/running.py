"""A service in a separate process, started with the command."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

COMMAND = [sys.executable, "-c", "from cinderlib.launcher import main; main()"]


#: Sends a request with the standard library alone, so that any user can run it.
_GET = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(f"GET {sys.argv[2]} HTTP/1.0\\r\\n\\r\\n".encode())
while part := connection.recv(65536):
    sys.stdout.buffer.write(part)
"""


class Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Service:
    """``cinderlib serve`` with its files in a folder.

    :param folder: its path must be short enough for a socket.
    :param service: additional lines for ``[service]``.
    :param backends: the backends' tables; by default a backend with the driver ``file``.
    """

    def __init__(self, folder: pathlib.Path, *, service: str = "", backends: str = "") -> None:
        self.folder = folder
        self.config = folder / "cinderlib.toml"
        self.socket = folder / "s.sock"
        self.volumes = folder / "volumes"
        self.log = folder / "log"
        self.configure(service, backends)
        self.environment = {
            **os.environ,
            "CINDERLIB_CONFIG": str(self.config),
            "CINDERLIB_SERVICE": str(self.socket),
            "PYTHONPATH": str(pathlib.Path(__file__).parents[1]),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, service: str = "", backends: str = "") -> None:
        """Write the configuration."""
        files = f'[backends.files]\nvolume_driver = "file"\nfile_root = "{self.volumes}"\n'
        self.config.write_text(
            f'[store]\nconnection = "sqlite:///{self.folder}/metadata.sqlite"\n'
            f'[controller]\nstate_path = "{self.folder}/state"\n'
            f'[service]\nsocket = "{self.socket}"\n{service}\n{backends or files}'
        )

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self, *arguments: str, program: Sequence[str] = (), **options: Any) -> Service:
        """Start it, and wait until it reports that it is ready.

        :param program: a program that runs the command line after it.
        """
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
            tempfile.TemporaryDirectory() as folder,
            self.log.open("ab") as log,
        ):
            notified.bind(f"{folder}/notify")
            notified.settimeout(0.5)
            self.process = subprocess.Popen(
                [*program, *COMMAND, "serve", *arguments],
                env={**self.environment, "NOTIFY_SOCKET": f"{folder}/notify"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **options,
            )
            for _ in range(240):
                with contextlib.suppress(TimeoutError):
                    assert notified.recv(100) == b"READY=1"
                    return self
                if self.process.poll() is not None:
                    break
        raise AssertionError(self.log.read_text())

    def next(self) -> Service:
        """The service with the same configuration that replaces this one."""
        following = copy.copy(self)
        following.environment = dict(self.environment)
        following.process = None
        return following

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and wait. Returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(120)

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send a request. Returns the status and the JSON of the answer."""
        connection = Connection(str(self.socket))
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, path, sent, given)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json else text

    def get_as(self, group: int, path: str) -> str:
        """Send a request as the user ``nobody``. Returns the answer with its head.

        :param group: the only group of that user.
        :raises PermissionError: the socket does not let the user in.
        """
        done = subprocess.run(
            [sys.executable, "-c", _GET, str(self.socket), path],
            user=65534, group=group, extra_groups=[], cwd="/", capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if "PermissionError" in done.stderr:
            raise PermissionError(done.stderr)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lines(self, method: str, path: str, body: Any = None) -> Iterator[dict[str, Any]]:
        """Send a request. Yields the lines of the answer when they arrive."""
        connection = Connection(str(self.socket))
        headers = {"Accept": "application/x-ndjson"}
        connection.request(method, path, json.dumps(body or {}).encode(), headers)
        for line in connection.getresponse():
            yield json.loads(line)
        connection.close()

    def command(
        self, *arguments: str, environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run the command with the service's configuration."""
        options = {"capture_output": True, "text": True, "check": False, **options}
        return subprocess.run(
            [*COMMAND, *arguments], env={**self.environment, **(environment or {})}, **options
        )
