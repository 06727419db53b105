"""Plug-ins as processes."""

from __future__ import annotations

import base64
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import grpc

from cinderlib.csi.wire import messages as m
from cinderlib.csi.wire.services import Stub

CONFIGURATION = """
[controller]
state_path = "{folder}/state"
lock_timeout = 5

[csi]
name = "csi.test"
keys = {{ file = "csi.key" }}
protocols = ["{protocol}"]
"""
#: The embedded driver.
FILES = """
[backends.files]
volume_driver = "file"
file_root = "{folder}/volumes"
"""


class Process:
    """A plug-in that runs.

    :param folder: with the configuration, the store and the volumes.
    :param mode: of ``cinderlib csi``.
    :param before: a command that runs the plug-in.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        mode: str = "all",
        *,
        environment: dict[str, str] | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        self._before = before
        self.folder = folder
        self.mode = mode
        self.environment = {**os.environ, "CINDERLIB_SERVICE": "none", **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"unix://{self.folder}/{self.mode}.sock"

    @property
    def log(self) -> str:
        return (self.folder / f"{self.mode}.log").read_text()

    def start(self, *, wait: bool = True) -> None:
        command = [
            *self._before, sys.executable, "-c", "from cinderlib.cli.main import main; main()",
            "--config", str(self.folder / "cinderlib.toml"),
            "csi", "--mode", self.mode, "--endpoint", self.endpoint,
        ]  # fmt: skip
        with (self.folder / f"{self.mode}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, cwd=self.folder
            )
        if wait:
            self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 300
        with grpc.insecure_channel(f"unix:{self.folder}/{self.mode}.sock") as channel:
            while True:
                with contextlib.suppress(grpc.RpcError):
                    probe = Stub(channel, "Identity").probe
                    if probe(m.ProbeRequest(), timeout=5, wait_for_ready=True).ready.value:
                        return
                assert self._process.poll() is None, self.log
                assert time.monotonic() < deadline, self.log

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(60)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(60)

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None


def prepare(folder: pathlib.Path, backend: str = FILES, protocol: str = "local") -> None:
    """Write a configuration and a key.

    :param backend: its part of the configuration; ``{folder}`` is the folder.
    :param protocol: of the node.
    """
    (folder / "volumes").mkdir()
    text = CONFIGURATION.format(folder=folder, protocol=protocol) + backend.format(folder=folder)
    (folder / "cinderlib.toml").write_text(text)
    (folder / "cinderlib.toml").chmod(0o600)
    (folder / "csi.key").write_bytes(base64.b64encode(os.urandom(32)))


@contextlib.contextmanager
def running(
    folder: pathlib.Path, mode: str = "all", backend: str = FILES, protocol: str = "local"
) -> Iterator[Process]:
    """A plug-in until the end of the context."""
    prepare(folder, backend, protocol)
    process = Process(folder, mode)
    try:
        process.start()
        yield process
    finally:
        if process.runs:
            process.stop()
