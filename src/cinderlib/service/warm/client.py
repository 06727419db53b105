"""A copy of a warm process takes over what its client hands over."""

from __future__ import annotations

import array
import contextlib
import dataclasses
import io
import locale
import os
import pwd
import socket
import struct
import sys
import time
from typing import NamedTuple

#: The longest request: more than a UNIX socket takes in one piece.
LONGEST = 1024**2
_UCRED = struct.Struct("3i")


class User(NamedTuple):
    """The user of a client, as the kernel identifies it."""

    uid: int
    gid: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Request:
    """What a client hands over.

    :ivar program: the client's program, by name.
    :ivar closed: the standard streams that were closed.
    """

    program: str
    umask: int
    closed: list[int]
    folder: bytes
    arguments: list[str]
    environment: dict[bytes, bytes]

    @classmethod
    def of(cls, text: bytes) -> _Request:
        """The request that a launcher has sent.

        :raises ValueError: it is not valid.
        """
        program, umask, closed, count, folder, *values = text.split(b"\0")
        arguments, environment = values[: int(count)], values[int(count) :]
        pairs = (pair.partition(b"=") for pair in environment)
        return cls(
            program=program.decode(),
            umask=int(umask),
            closed=[int(number) for number in closed.decode()],
            folder=folder,
            arguments=[os.fsdecode(argument) for argument in arguments],
            environment={name: value for name, _, value in pairs},
        )


def user(client: socket.socket) -> User | None:
    """The user of a client; ``None`` if this process cannot act for that user."""
    _, uid, gid = _UCRED.unpack(
        client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    return User(uid, gid) if os.geteuid() in (0, uid) else None


def take_over(client: socket.socket, user: User) -> str:
    """Take over the client's streams, user, folder and environment.

    :returns: the name of the client's program.
    :raises ValueError: the request is not valid.
    """
    client.settimeout(2.0)
    text, streams = _receive(client)
    if len(streams) != 3:
        raise ValueError("not the three standard streams")
    request = _Request.of(text)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if user.uid != os.geteuid():
        try:
            groups = os.getgrouplist(pwd.getpwuid(user.uid).pw_name, user.gid)
        except KeyError:
            groups = [user.gid]
        os.setgroups(groups)
        os.setgid(user.gid)
        os.setuid(user.uid)
    os.chdir(request.folder)
    os.umask(request.umask)
    os.environ.clear()
    os.environb.update(request.environment)
    time.tzset()
    _use_python_path()
    _open_streams(request.closed)
    sys.argv = [request.program, *request.arguments]
    return request.program


def _receive(client: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    text, messages, _, _ = client.recvmsg(LONGEST, socket.CMSG_SPACE(3 * 4))
    streams = array.array("i")
    for level, kind, data in messages:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            streams.frombytes(data[: len(data) - len(data) % streams.itemsize])
    return text, tuple(streams)


def _use_python_path() -> None:
    """Find the modules in the client's ``PYTHONPATH``, such as drivers, as a new process does."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [
        path for path in map(os.path.abspath, filter(None, folders)) if path not in sys.path
    ]


def _open_streams(closed: list[int]) -> None:
    """The standard streams, in the client's encoding, as Python opens them when it starts."""
    locale.setlocale(locale.LC_ALL, "C")
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, "")
    is_plain = locale.setlocale(locale.LC_CTYPE) in ("C", "POSIX")
    encoding = "utf-8" if is_plain else locale.getencoding()
    tolerant = "surrogateescape" if is_plain else "strict"
    for number, name, mode, on_error in (
        (0, "stdin", "r", tolerant),
        (1, "stdout", "w", tolerant),
        (2, "stderr", "w", "backslashreplace"),
    ):
        stream = None
        if number in closed:
            os.close(number)
        else:
            stream = io.TextIOWrapper(
                open(number, f"{mode}b", closefd=False),  # noqa: SIM115
                encoding=encoding,
                errors=on_error,
                line_buffering=mode == "w" and (number == 2 or os.isatty(number)),
            )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
