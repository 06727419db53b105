"""Runs the command with a service that uses the same configuration, as on a host with a service."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection
from typing import Any

from cli.command import Command, Done

#: The installed command: it gives its arguments to the service, if one runs.
LAUNCHER = [sys.executable, "-c", "from cinderlib.launcher import main; main()"]


class CommandWithService(Command):
    """Starts a service for the configuration at the first command, and again after each change of
    the configuration. Without a valid configuration no service runs, and the command runs alone.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        # A path in the folder of a test is too long for a socket.
        self._sockets = tempfile.TemporaryDirectory(prefix="cl-")
        self.socket = pathlib.Path(self._sockets.name) / "s.sock"
        self.environment["CINDERLIB_SERVICE"] = str(self.socket)
        self._service: subprocess.Popen[bytes] | None = None
        self._started_with: object = None

    def __call__(
        self, *arguments: str, input: str | bytes | None = None, ends: int | None = 0
    ) -> Done:
        given = input.encode() if isinstance(input, str) else input or b""
        self.serve()
        done = subprocess.run(
            [*LAUNCHER, *arguments],
            env={**os.environ, **self.environment},
            input=given,
            capture_output=True,
            check=False,
        )
        result = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert ends in (None, result.exit_code), result
        return result

    def process(
        self, *arguments: str, without: Collection[str] = (), **options: Any
    ) -> subprocess.CompletedProcess[str]:
        self.serve()
        return self._run(LAUNCHER, *arguments, without=without, **options)

    def serve(self) -> None:
        """Have the service run with the current configuration and environment."""
        text = self.config.read_bytes() if self.config.exists() else b""
        if self._started_with == (text, self.environment):
            return
        self.stop()
        self._started_with = (text, dict(self.environment))
        log = self.folder / "service.log"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified, log.open("ab") as output:
            notify = self.socket.with_name("notify")
            notify.unlink(missing_ok=True)
            notified.bind(str(notify))
            notified.settimeout(0.02)
            self._service = subprocess.Popen(
                [*LAUNCHER, "serve", "--socket", str(self.socket)],
                env={
                    **os.environ,
                    "PYTHONPATH": str(pathlib.Path(__file__).parents[1]),
                    **self.environment,
                    "NOTIFY_SOCKET": str(notify),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            # It ends if the configuration is not valid.
            while self._service.poll() is None:
                with contextlib.suppress(TimeoutError):
                    assert notified.recv(100) == b"READY=1"
                    return

    def stop(self) -> None:
        """End the service."""
        if self._service is not None:
            self._service.terminate()
            self._service.wait(120)
            self._service = None

    def close(self) -> None:
        """End the service for good."""
        self.stop()
        self._sockets.cleanup()
