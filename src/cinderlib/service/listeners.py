"""The sockets that the service listens on: made here, or handed over by systemd."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import grp
import os
import socket
import stat
from pathlib import Path

from cinderlib import errors

#: The first file descriptor that systemd passes (sd_listen_fds(3)).
_FIRST = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Passed:
    """The sockets that systemd has opened, by the ``FileDescriptorName`` of the unit."""

    by_name: dict[str, socket.socket]


def from_systemd() -> Passed:
    """The sockets that were passed to this process; the environment forgets them."""
    pid = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "0")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    found: dict[str, socket.socket] = {}
    if pid == str(os.getpid()):
        for number in range(int(count)):
            given = socket.socket(fileno=_FIRST + number)
            given.set_inheritable(False)
            name = names[number] if number < len(names) else ""
            found[name] = given
    return Passed(found)


class UnixListener:
    """A UNIX socket at a path that one process at a time listens on.

    The process holds a lock on a file in the same directory. The next service replaces the socket
    of a process that was killed, and never that of a live one.

    :param mode: of the socket, such as ``0o660``.
    :param group: whose members may connect, by ID; by default the process's own.
    :raises ConfigurationError: another service listens there, or it cannot be created.
    """

    def __init__(self, path: Path, *, mode: int, group: int | None) -> None:
        self.path = path
        self._lock = self._locked()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISSOCK(path.lstat().st_mode):
                    raise errors.ConfigurationError(f"{path} exists and is not a socket")
                path.unlink()
            # Nobody else may connect before mode and group are right.
            before = os.umask(0o177)
            try:
                self.socket.bind(str(path))
            finally:
                os.umask(before)
            if group is not None:
                os.chown(path, -1, group)
            path.chmod(mode)
            self.socket.listen(1024)
        except OSError as exc:
            self.socket.close()
            raise errors.ConfigurationError(
                f"The socket {path} cannot be created: {exc.strerror or exc}"
            ) from exc

    def _locked(self) -> int:
        lock = self.path.with_name(self.path.name + ".lock")
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            opened = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise errors.ConfigurationError(
                f"The folder {self.path.parent} of the socket cannot be used: {exc.strerror}"
            ) from exc
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(opened)
            raise errors.ConfigurationError(
                f"Another service listens on {self.path}; stop it first"
            ) from None
        return opened

    def close(self) -> None:
        """Remove the socket."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.socket.close()
        os.close(self._lock)


def group_id(name: str) -> int:
    """The ID of a group.

    :raises ConfigurationError: there is no such group.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise errors.ConfigurationError(f"There is no group {name!r} for the socket") from None


def tcp(address: str) -> socket.socket:
    """A listening TCP socket.

    :param address: ``HOST:PORT``, an IPv6 address in brackets.
    :raises ConfigurationError: it is not such an address, or is taken.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise errors.ConfigurationError(f"{address!r} is not an address; expected HOST:PORT")
    try:
        return socket.create_server(
            (host.strip("[]"), int(port)),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=1024,
        )
    except (OSError, OverflowError) as exc:
        raise errors.ConfigurationError(f"The service cannot listen on {address}: {exc}") from exc
