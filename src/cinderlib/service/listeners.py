"""The sockets that the service listens on, one by one: created here, or opened by systemd."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import grp
import os
import re
import secrets
import socket
import stat
import time
from pathlib import Path

from cinderlib import errors

#: The first file descriptor that systemd passes (sd_listen_fds(3)).
_FIRST = 3
#: The names of sockets before they get their paths.
_TEMPORARY = re.compile(r"\.[0-9a-f]{6}")


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

    :ivar lock: the open file with the lock; it is handed over with the socket.
    """

    def __init__(self, path: Path, listener: socket.socket, lock: int) -> None:
        self.path = path
        self.socket = listener
        self.lock = lock

    @classmethod
    def create(cls, path: Path, *, mode: int, group: int | None) -> UnixListener:
        """Listen at a path.

        :param mode: of the socket, such as ``0o660``.
        :param group: whose members may connect, by ID; by default the process's own.
        :raises ConfigurationError: another service listens there, or it cannot be created.
        """
        lock = _locked(path)
        try:
            if _answers(path):
                raise errors.ConfigurationError(
                    f"Another service, or systemd, listens on {path}; stop it first"
                )
            made = PathSocket(path, socket.SOCK_STREAM, mode=mode, group=group)
            made.publish()
        except BaseException:
            os.close(lock)
            raise
        return cls(path, made.socket, lock)

    def permit(self, *, mode: int, group: int | None) -> None:
        """Apply other permissions to the socket.

        :raises ConfigurationError: they cannot be changed.
        """
        try:
            os.chown(self.path, -1, os.getegid() if group is None else group)
            self.path.chmod(mode)
        except OSError as exc:
            raise errors.ConfigurationError(
                f"The permissions of {self.path} cannot be changed: {exc.strerror}"
            ) from exc

    def close(self, *, remove: bool = True) -> None:
        """Stop listening.

        :param remove: remove the socket from its directory: no other process listens on it.
        """
        if remove:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
        self.socket.close()
        os.close(self.lock)


class PathSocket:
    """A socket that takes the place of another one at a path at once: at every moment, clients find
    the previous one or this one.

    :ivar path: where clients find it, once it is published.
    :raises ConfigurationError: it cannot be created.
    """

    def __init__(
        self, path: Path, kind: socket.SocketKind, *, mode: int, group: int | None = None
    ) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, kind)
        # Nobody may connect before mode, group and queue are right. The name is short because the
        # paths of sockets are.
        self._at = path.with_name(f".{secrets.token_hex(3)}")
        _remove_abandoned(path.parent)
        self._identity: tuple[int, int] | None = None
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            before = os.umask(0o177)
            try:
                self.socket.bind(str(self._at))
            finally:
                os.umask(before)
            if group is not None:
                os.chown(self._at, -1, group)
            self._at.chmod(mode)
            self.socket.listen(1024)
            self._identity = self._found()
        except OSError as exc:
            raise self._failed(exc.strerror or str(exc)) from exc

    def publish(self) -> None:
        """Give it its path.

        :raises ConfigurationError: the path is that of another kind of file.
        """
        try:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISSOCK(self.path.lstat().st_mode):
                    raise self._failed("it exists and is not a socket")
            self._at.rename(self.path)
        except OSError as exc:
            raise self._failed(exc.strerror or str(exc)) from exc
        self._at = self.path

    def _failed(self, reason: str) -> errors.ConfigurationError:
        self.close()
        return errors.ConfigurationError(f"The socket {self.path} cannot be created: {reason}")

    def _found(self) -> tuple[int, int]:
        """What identifies the file. Numbers of inodes are used again."""
        status = self._at.lstat()
        return status.st_ino, status.st_mtime_ns

    def remove(self) -> None:
        """Remove it from its directory, unless another one has taken its place."""
        with contextlib.suppress(OSError):
            if self._identity is None or self._found() == self._identity:
                self._at.unlink()

    def close(self) -> None:
        """Remove it and stop listening."""
        self.remove()
        self.socket.close()


def _remove_abandoned(folder: Path) -> None:
    """Remove the sockets of processes that were killed before they gave them their paths."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if not _TEMPORARY.fullmatch(path.name):
                continue
            status = path.lstat()
            # A process listens on its new socket within this time.
            is_old = time.time() - status.st_mtime > 60
            if is_old and stat.S_ISSOCK(status.st_mode) and _is_refused(path):
                path.unlink()


def _is_refused(path: Path) -> bool:
    """Whether no process listens on a socket, of any kind."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as client:
            client.setblocking(False)
            try:
                client.connect(str(path))
            except ConnectionRefusedError:
                return True
            except OSError as exc:
                if exc.errno != errno.EPROTOTYPE:
                    return False
            else:
                return False
    return False


def _answers(path: Path) -> bool:
    """Whether a process listens at a path."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True


def _locked(path: Path) -> int:
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        opened = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise errors.ConfigurationError(
            f"The folder {path.parent} of the socket cannot be used: {exc.strerror}"
        ) from exc
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise errors.ConfigurationError(
            f"Another service listens on {path}; stop it first, or replace it with"
            " `cinderlib serve --replace`"
        ) from None
    return opened


def group_id(name: str) -> int:
    """The ID of a group.

    :raises ConfigurationError: there is no such group.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise errors.ConfigurationError(
            f"Group {name!r} for the socket does not exist on this host"
        ) from None


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
