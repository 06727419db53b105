"""Host processes, as the program that uses them (the caller) sees them."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from cinderlib import errors
from cinderlib.drivers.isolation import warm
from cinderlib.drivers.isolation.limits import Limits

#: Seconds that the import of Cinder may take, on a host that is busy with other things.
START_TIMEOUT = 300.0
#: Seconds for a host to write its report, and for a killed one to end.
ABORT_TIMEOUT, KILL_TIMEOUT = 2.0, 10.0
_LONGEST = 65536
_LONGEST_REPORT = 32768

#: The program of the process that forks hosts. Arguments: the file descriptor of the socket for
#: requests, and the process ID of the caller. A separate environment can lack this library.
_START = """
import json, socket, sys
control = socket.socket(fileno=int(sys.argv[1]))
path = json.loads(control.recv(1 << 20))
if path is not None:
    sys.path[:] = path
try:
    from cinderlib.drivers.isolation import warm
except ImportError as error:
    control.send(json.dumps({"missing": str(error)}).encode())
    sys.exit(1)
warm.run(control, int(sys.argv[2]))
"""


class HostProcess:
    """A host process.

    :ivar channel: the caller's end of the channel.
    :ivar pid: its process ID.
    """

    def __init__(self, channel: socket.socket, lifeline: socket.socket, report: int) -> None:
        self.channel = channel
        self._lifeline = lifeline
        self._report = report
        self._guard = threading.Lock()
        self._status: int | None = None
        self._ended = False
        answer = self._datagram(START_TIMEOUT)
        if not answer:
            self.close()
            raise BrokenPipeError("the process that forks hosts has ended")
        self.pid = int(answer["pid"])

    def end(self, *, report: bool = False) -> bool:
        """Kill it with the processes that it has started, if it has not ended by itself.

        :param report: whether it writes first what its threads do.
        :returns: whether it has ended. The kernel keeps a process that waits for a device.
        """
        with self._guard:
            if report and not self._has_ended(0):
                self._order(warm.ABORT)
                self._has_ended(ABORT_TIMEOUT)
            if not self._has_ended(0):
                self._order(warm.KILL)
            return self._has_ended(KILL_TIMEOUT)

    def wait(self, timeout: float) -> bool:
        """Wait for it to end; returns whether it has."""
        with self._guard:
            return self._has_ended(timeout)

    def exit_code(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it; None if unknown."""
        return None if self._status is None else os.waitstatus_to_exitcode(self._status)

    def crash_report(self) -> str:
        """What its threads did when a signal ended it; empty for other ends."""
        data = os.pread(self._report, _LONGEST_REPORT, 0)
        # At the end is a list of all extension modules.
        return data.decode(errors="replace").partition("\nExtension modules")[0].strip()

    def close(self) -> None:
        """Close the files. The process ends, if it has not ended."""
        with self._guard:
            self.channel.close()
            self._lifeline.close()
            with contextlib.suppress(OSError):
                os.close(self._report)

    def _order(self, order: bytes) -> None:
        with contextlib.suppress(OSError):
            self._lifeline.send(order)

    def _has_ended(self, timeout: float) -> bool:
        if not self._ended:
            try:
                answer = self._datagram(timeout)
            except TimeoutError:
                return False
            if answer:
                self._status = answer["status"]
            else:
                # The process that forks has ended, and the kernel ends its children.
                _wait_until_gone(self.pid, KILL_TIMEOUT)
            self._ended = True
        return True

    def _datagram(self, timeout: float) -> dict[str, Any]:
        """:raises TimeoutError: none came in time."""
        self._lifeline.settimeout(max(timeout, 0.001))
        try:
            text = self._lifeline.recv(_LONGEST)
        except TimeoutError:
            raise
        except ConnectionResetError:
            # An order crossed the end of the process; earlier datagrams can still be read.
            return self._datagram(timeout)
        except OSError:
            text = b""
        answer: dict[str, Any] = json.loads(text or b"{}")
        return answer


def _wait_until_gone(pid: int, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except OSError:
            return
        time.sleep(0.01)


class _Forker:
    """A process that forks hosts, with one Python.

    :param python: the path of the interpreter; None for that of this process.
    """

    def __init__(self, python: str | None) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A separate environment ignores the variables for this one.
        command = [python or sys.executable, "-P" if python is None else "-I", "-c", _START]
        with its:
            try:
                self._process = subprocess.Popen(
                    [*command, str(its.fileno()), str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[its.fileno()],
                    start_new_session=True,
                )
            except OSError as exc:
                mine.close()
                raise errors.ConfigurationError(
                    f"{command[0]} cannot be run: {exc.strerror}", resource="python"
                ) from exc
        self._control = mine
        self.users = 0
        try:
            path = [each for each in sys.path if isinstance(each, str)]
            greeting = self._greeting(None if python else path)
            _check_greeting(command[0], greeting)
        except BaseException:
            self.close()
            raise

    def _greeting(self, path: list[str] | None) -> dict[str, str]:
        """:param path: where it imports modules from; by default from its own environment."""
        self._control.settimeout(START_TIMEOUT)
        try:
            self._control.send(json.dumps(path).encode())
            greeting: dict[str, str] = json.loads(self._control.recv(_LONGEST) or b"{}")
        except OSError:
            return {}
        self._control.settimeout(None)
        return greeting

    def is_running(self) -> bool:
        return self._process.poll() is None

    def fork(self, name: str, limits: Limits) -> HostProcess:
        """:raises OSError: it has ended."""
        channel, its_channel = socket.socketpair()
        lifeline, its_lifeline = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report = os.memfd_create("cinderlib-driver-crash")
        with its_channel, its_lifeline:
            request = {
                "name": name,
                "memory_limit": limits.memory_limit,
                "cpu_limit": limits.cpu_limit,
            }
            files = [its_channel.fileno(), its_lifeline.fileno(), report]
            try:
                socket.send_fds(self._control, [json.dumps(request).encode()], files)
            except OSError:
                channel.close()
                lifeline.close()
                os.close(report)
                raise
        return HostProcess(channel, lifeline, report)

    def close(self) -> None:
        """End it, with its hosts."""
        self._control.close()
        try:
            self._process.wait(KILL_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def abandon(self) -> None:
        """Close the copies that this process has from its parent."""
        self._control.close()
        self._process.returncode = 0  # it is the parent's to wait for


def _check_greeting(python: str, greeting: Mapping[str, str]) -> None:
    """:raises ConfigurationError: the process cannot run drivers."""
    version = warm.version()
    if not greeting:
        raise errors.MissingDependency(f"{python} does not run this library", resource="python")
    if "missing" in greeting:
        raise errors.MissingDependency(
            f"The environment of {python} lacks a package: {greeting['missing']}. Install"
            f" cinderlib {version} and Cinder in it",
            resource="python",
        )
    if "unusable" in greeting:
        raise errors.ConfigurationError(greeting["unusable"])
    if greeting["version"] != version:
        raise errors.MissingDependency(
            f"The environment of {python} has cinderlib {greeting['version']}, but this"
            f" program has {version}. Install the same version in both",
            resource="python",
        )


class Environment:
    """What forks the hosts of one Python: started with the first user, ended with the last one."""

    #: One for each Python: the import of Cinder from one environment does not stop others.
    _guards: collections.defaultdict[str | None, threading.Lock] = collections.defaultdict(
        threading.Lock
    )
    _forkers: dict[str | None, _Forker] = {}

    def __init__(self, python: str | None) -> None:
        self._python = python
        self._forker: _Forker | None = None

    def fork(self, name: str, limits: Limits) -> HostProcess:
        """Start a host.

        :param name: the name of the backend, which process lists show.
        :raises ConfigurationError: the Python cannot be run, or lacks a package.
        """
        with self._guards[self._python]:
            forker = self._use()
            try:
                return forker.fork(name, limits)
            except OSError:
                self._leave()  # it has just ended
                return self._use().fork(name, limits)

    def close(self) -> None:
        """This user needs no more hosts."""
        with self._guards[self._python]:
            self._leave()

    def _use(self) -> _Forker:
        forker = self._forkers.get(self._python)
        if forker is None or not forker.is_running():
            forker = self._forkers[self._python] = _Forker(self._python)
        if forker is not self._forker:
            self._forker = forker
            forker.users += 1
        return forker

    def _leave(self) -> None:
        forker, self._forker = self._forker, None
        if forker is None:
            return
        forker.users -= 1
        if not forker.users or not forker.is_running():
            if self._forkers.get(self._python) is forker:
                del self._forkers[self._python]
            forker.close()


def _abandon_in_child() -> None:
    """A fork of the caller: the hosts are its parent's."""
    Environment._guards.clear()
    for forker in Environment._forkers.values():
        forker.abandon()
    Environment._forkers.clear()


os.register_at_fork(after_in_child=_abandon_in_child)
