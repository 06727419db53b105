"""A process that has imported Cinder and forks a host process for each driver.

It has one thread and no configuration, so its copies start in milliseconds and without the hazards
of a fork among threads. The program that uses it (the caller) requests a host with a datagram that
carries three files: the host's end of the channel, this process's end of the lifeline, and the file
for a crash report. The lifeline has datagrams too: the process ID and, at the end, the exit status
to the caller; orders to end the host from it. A lifeline that closes is such an order.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import faulthandler
import gc
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
from typing import Any, NoReturn

#: Orders of the caller.
ABORT, KILL = b"abort", b"kill"
#: Files that come with a request.
FILES = 3
_LONGEST = 65536
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
#: Seconds to wait for the processes that a driver started to end.
_PATIENCE = 1.0


def run(requests: socket.socket, caller: int) -> None:
    """Fork hosts until the caller ends or closes its end of the socket.

    :param requests: the socket for requests.
    :param caller: the caller's process ID.
    """
    _set_name("drivers")
    requests.send(json.dumps(_greeting()).encode())
    gc.collect()
    gc.freeze()  # the collector of a copy would otherwise write to pages that all share
    _Forker(requests, caller).run()


def version() -> str:
    """The installed version of this library."""
    from importlib import metadata

    return metadata.version("cinderlib")


def _greeting() -> dict[str, str]:
    """Imports Cinder.

    :returns: the version of this library, and the reason if Cinder cannot be used.
    """
    from cinderlib.drivers import bootstrap
    from cinderlib.errors import CinderlibError

    greeting = {"version": version()}
    try:
        bootstrap.preload()
        from cinderlib.drivers.isolation import host  # noqa: F401
    except ImportError as exc:
        greeting["missing"] = str(exc)
    except CinderlibError as exc:
        greeting["unusable"] = str(exc)
    return greeting


class _Forker:
    """The loop of the process."""

    def __init__(self, requests: socket.socket, caller: int) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._lifelines: dict[int, socket.socket] = {}
        self._selector.register(requests, selectors.EVENT_READ)
        try:
            self._caller = os.pidfd_open(caller)
        except ProcessLookupError:
            sys.exit()
        self._selector.register(self._caller, selectors.EVENT_READ)

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._caller:
                    self._end()
                elif key.fileobj is self._requests:
                    self._fork()
                elif key.data[0] == "lifeline":
                    self._obey(key.data[1])
                else:
                    self._reap(key.data[1], key.fd)

    def _end(self) -> NoReturn:
        for pid in self._lifelines:
            _kill_session(pid)
        os._exit(0)

    def _fork(self) -> None:
        text, messages, _, _ = self._requests.recvmsg(_LONGEST, socket.CMSG_SPACE(FILES * 4))
        if not text:
            self._end()
        files = array.array("i")
        for _, _, data in messages:
            files.frombytes(data)
        for file in files:
            os.set_inheritable(file, False)
        channel, lifeline_file, report = files
        lifeline = socket.socket(fileno=lifeline_file)
        pid = os.fork()
        if not pid:
            lifeline.close()
            self._become_host(channel, report, json.loads(text))
        os.close(channel)
        os.close(report)
        self._lifelines[pid] = lifeline
        with contextlib.suppress(OSError):
            lifeline.send(json.dumps({"pid": pid}).encode())
        self._selector.register(lifeline, selectors.EVENT_READ, ("lifeline", pid))
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, ("process", pid))

    def _obey(self, pid: int) -> None:
        """Execute an order of the caller."""
        lifeline = self._lifelines.get(pid)
        if lifeline is None:
            return  # the process has ended in the same moment
        try:
            order = lifeline.recv(_LONGEST)
        except OSError:
            order = b""
        if order == ABORT:
            os.kill(pid, signal.SIGABRT)  # faulthandler writes the report
            os.kill(pid, signal.SIGCONT)
        else:
            os.kill(pid, signal.SIGKILL)
        if not order:
            self._selector.unregister(lifeline)

    def _reap(self, pid: int, process: int) -> None:
        """A host has ended: end its children, and report its exit status."""
        self._selector.unregister(process)
        os.close(process)
        _kill_session(pid)
        _, status = os.waitpid(pid, 0)
        lifeline = self._lifelines.pop(pid)
        with contextlib.suppress(KeyError):
            self._selector.unregister(lifeline)
        with contextlib.suppress(OSError):
            lifeline.send(json.dumps({"status": status}).encode())
        lifeline.close()

    def _become_host(self, channel: int, report: int, request: dict[str, Any]) -> NoReturn:
        """In the child."""
        try:
            warm = os.getppid()
            self._requests.close()
            self._selector.close()
            os.close(self._caller)
            for lifeline in self._lifelines.values():
                lifeline.close()
            os.setsid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != warm:
                os._exit(1)
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
            _set_name(request["name"])
            os.dup2(2, 1)  # standard output is the caller's for its results
            faulthandler.enable(report)
            _limit(request)
            from cinderlib.drivers.isolation import host

            host.run(socket.socket(fileno=channel))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)


def _set_name(name: str) -> None:
    """Set the name that ``top`` and ``ps -o comm`` show; the kernel cuts it after 15 bytes."""
    _prctl(_PR_SET_NAME, f"cinderlib {name}".encode())


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(option, value)


def _limit(request: dict[str, Any]) -> None:
    """Apply the limits of a host to this process and its children."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if request["memory_limit"] is not None:
        # Not the address space: each thread reserves much more of it than it uses.
        limit = request["memory_limit"] << 20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if request["cpu_limit"] is not None:
        processors = sorted(os.sched_getaffinity(0))
        first = os.getpid() % len(processors)  # not the same for all hosts
        chosen = (processors[first:] + processors[:first])[: request["cpu_limit"]]
        os.sched_setaffinity(0, chosen)


def _kill_session(leader: int) -> None:
    """Kill a host and the processes that its driver started, except those that have become daemons
    with their own session. The leader is not reaped yet, so its ID is not used again."""
    deadline = time.monotonic() + _PATIENCE
    while members := _of_session(leader):
        killed = False
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
                killed = True
        if not killed or time.monotonic() > deadline:
            return
        time.sleep(0.005)


def _of_session(leader: int) -> list[int]:
    """The running processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as file:
                # The command before is in parentheses, and can contain any character.
                state, _, _, session = file.read().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(name))
    return found
