"""A process that runs programs for clients, as the service that has started it sees it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from cinderlib import service_address
from cinderlib.service.listeners import PathSocket
from cinderlib.service.warm.programs import PROGRAMS, Program

#: The variables of the service's environment that the process gets, by their beginnings. Others
#: can have keys.
_VARIABLES = ("LANG", "LC_", "LD_LIBRARY_PATH", "PATH", "PYTHON", "TZ", "VIRTUAL_ENV")


class WarmProcess:
    """The process.

    :param program: the program that it runs.
    :param service_socket: the service's socket.
    :param mode: of the process's socket, which is in the same directory.
    :param group: of that socket, by ID; by default the process's group.
    :raises ConfigurationError: the socket cannot be created.
    """

    def __init__(
        self, program: Program, service_socket: Path, *, mode: int, group: int | None
    ) -> None:
        path = Path(service_address.program_socket(str(service_socket), program.name))
        self._listener = PathSocket(path, socket.SOCK_SEQPACKET, mode=mode, group=group)
        inherited = self._listener.socket.fileno()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "cinderlib.service.warm.listener"),
                    *(program.name, str(inherited), str(os.getpid()), str(service_socket)),
                ],
                pass_fds=[inherited],
                stdin=subprocess.DEVNULL,
                env={n: v for n, v in os.environ.items() if n.startswith(_VARIABLES)},
            )
        except BaseException:
            self._listener.close()
            raise
        self._listener.socket.close()

    def publish(self) -> None:
        """Let clients find it.

        :raises ConfigurationError: something else than a socket is at its path.
        """
        self._listener.publish()

    def end(self) -> None:
        """Take no more clients, and end once the programs that it runs have ended."""
        self._listener.remove()
        self._process.terminate()

    def wait(self, timeout: float) -> None:
        """Wait until it has ended.

        :param timeout: in seconds; programs that still run then continue.
        """
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class WarmProcesses:
    """The processes for all programs.

    :raises ConfigurationError: a socket cannot be created.
    """

    def __init__(self, service_socket: Path, *, mode: int, group: int | None) -> None:
        self._processes: list[WarmProcess] = []
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop, 0.0)
            for program in PROGRAMS:
                started = WarmProcess(program, service_socket, mode=mode, group=group)
                self._processes.append(started)
            undo.pop_all()

    def publish(self) -> None:
        """Let clients find them.

        :raises ConfigurationError: something else than a socket is at the path of one.
        """
        for process in self._processes:
            process.publish()

    def stop(self, timeout: float) -> None:
        """End them once the programs that they run have ended.

        :param timeout: how long this may take, in seconds; programs that still run then continue.
        """
        until = time.monotonic() + timeout
        for process in self._processes:
            process.end()
        for process in self._processes:
            process.wait(max(0.0, until - time.monotonic()))
