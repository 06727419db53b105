"""Host processes, as the program that uses them (the caller) sees them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
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

#: What the process that forks hosts runs. A separate environment can lack this library.
_START = """
import socket, sys
control, caller = {control}, {caller}
path = {path!r}
if path is not None:
    sys.path[:] = path
try:
    from cinderlib.drivers.isolation import warm
except ImportError as error:
    import json
    answer = json.dumps({{"missing": str(error)}})
    socket.socket(fileno=control).send(answer.encode())
    sys.exit(1)
warm.run(control, caller)
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
        return data.decode(errors="replace").strip()

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
        with its:
            code = _START.format(
                control=its.fileno(),
                caller=os.getpid(),
                path=sys.path if python is None else None,
            )
            # A separate environment ignores the variables for this one.
            command = [python or sys.executable, "-P" if python is None else "-I", "-c", code]
            try:
                self._process = subprocess.Popen(
                    command,
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
            self._check_greeting(command[0])
        except BaseException:
            self.close()
            raise

    def _check_greeting(self, python: str) -> None:
        version = warm.version()
        self._control.settimeout(START_TIMEOUT)
        greeting: dict[str, str] = json.loads(self._control.recv(_LONGEST) or b"{}")
        self._control.settimeout(None)
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

    def is_running(self) -> bool:
        return self._process.poll() is None

    def fork(self, limits: Limits) -> HostProcess:
        """:raises OSError: it has ended."""
        channel, its_channel = socket.socketpair()
        lifeline, its_lifeline = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report = os.memfd_create("cinderlib-driver-crash")
        with its_channel, its_lifeline:
            request = {"memory_limit": limits.memory_limit, "cpu_limit": limits.cpu_limit}
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


class Environment:
    """What forks the hosts of one Python: started with the first user, ended with the last one."""

    _guard = threading.Lock()
    _of_process: dict[tuple[int, str | None], _Forker] = {}

    def __init__(self, python: str | None) -> None:
        self._python = python
        self._forker: _Forker | None = None

    def fork(self, limits: Limits) -> HostProcess:
        """Start a host.

        :raises ConfigurationError: the Python cannot be run, or lacks a package.
        """
        with self._guard:
            forker = self._use()
            try:
                return forker.fork(limits)
            except OSError:
                self._leave()  # it has just ended
                return self._use().fork(limits)

    def close(self) -> None:
        """This user needs no more hosts."""
        with self._guard:
            self._leave()

    def _use(self) -> _Forker:
        key = os.getpid(), self._python
        there = self._of_process.get(key)
        if there is not None and there.is_running() and there is self._forker:
            return there
        if there is None or not there.is_running():
            there = self._of_process[key] = _Forker(self._python)
        self._forker = there
        there.users += 1
        return there

    def _leave(self) -> None:
        forker, self._forker = self._forker, None
        if forker is None:
            return
        forker.users -= 1
        if not forker.users or not forker.is_running():
            for key in [key for key, each in self._of_process.items() if each is forker]:
                del self._of_process[key]
            forker.close()


def _abandon_in_child() -> None:
    """A fork of the caller: the hosts are its parent's."""
    Environment._guard = threading.Lock()
    for forker in Environment._of_process.values():
        forker.abandon()
    Environment._of_process.clear()


os.register_at_fork(after_in_child=_abandon_in_child)
