"""Identifies a process among all processes on all hosts, past and present."""

from __future__ import annotations

import functools
import os
import socket

from cinderlib.records import Owner


@functools.cache
def _owner(pid: int) -> Owner:
    return Owner(
        host=this_host(),
        boot_id=boot_id(),
        pid=pid,
        start_time=_start_time(pid) or 0,
        pid_namespace=_pid_namespace(),
    )


def this_host() -> str:
    """The host name by which other hosts know this host."""
    return socket.gethostname()


def this_process() -> Owner:
    """The calling process; also correct after a fork."""
    return _owner(os.getpid())


@functools.cache
def boot_id() -> str:
    """Changes with each boot of this machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return "unknown"


def is_of_this_machine(owner: Owner) -> bool:
    """Whether the process ran on this machine: under the running kernel, also in another container
    or under an earlier host name, or on this host before it was restarted."""
    return owner.boot_id == boot_id() or owner.host == this_host()


def is_dead(owner: Owner) -> bool:
    """Whether the process is known to have ended. This cannot be known for processes of other hosts
    and of other process ID namespaces."""
    if owner.boot_id != boot_id():
        return owner.host == this_host()
    seen_here = owner.pid_namespace == _pid_namespace()
    return seen_here and _start_time(owner.pid) != owner.start_time


def _pid_namespace() -> int:
    """The process ID namespace of this process."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _start_time(pid: int) -> int | None:
    """In clock ticks since boot: field 22 of ``/proc/<pid>/stat`` (proc(5)); ``None`` if it
    ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The second field is the command in parentheses, which can contain spaces.
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
