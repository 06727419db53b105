"""Makes a process a client's command: its user, folder, environment and standard streams."""

from __future__ import annotations

import array
import contextlib
import dataclasses
import io
import json
import locale
import os
import pwd
import socket
import struct
import sys
import time
from collections.abc import Callable

#: The longest request: more than a UNIX socket takes in one piece.
LONGEST = 1024**2
_UCRED = struct.Struct("3i")


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What a client hands over.

    :ivar streams: its standard streams, as files of this process.
    :ivar closed: which of them were closed.
    """

    uid: int
    gid: int
    streams: tuple[int, ...]
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    umask: int
    closed: list[int]


def receive(client: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    """The text of a client's request, and its streams as files of this process."""
    text, messages, _, _ = client.recvmsg(LONGEST, socket.CMSG_SPACE(3 * 4))
    streams = array.array("i")
    for level, kind, data in messages:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            streams.frombytes(data[: len(data) - len(data) % streams.itemsize])
    return text, tuple(streams)


def request_of(client: socket.socket, text: bytes, streams: tuple[int, ...]) -> Request | None:
    """The client's request; ``None`` if this process cannot act for the client's user."""
    _, uid, gid = _UCRED.unpack(
        client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    )
    if len(streams) != 3 or os.geteuid() not in (0, uid):
        return None
    return Request(uid=uid, gid=gid, streams=streams, **json.loads(text))


def take_over(request: Request) -> None:
    """Take over the client's streams, user, folder and environment."""
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
    if request.uid != os.geteuid():
        try:
            groups = os.getgrouplist(pwd.getpwuid(request.uid).pw_name, request.gid)
        except KeyError:
            groups = [request.gid]
        os.setgroups(groups)
        os.setgid(request.gid)
        os.setuid(request.uid)
    os.chdir(request.folder)
    os.umask(request.umask)
    os.environ.clear()
    os.environ.update(request.environment)
    time.tzset()
    _open_streams(request.closed)
    sys.argv = ["cinderlib", *request.arguments]


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


def run(main: Callable[[], None]) -> int:
    """Run the command.

    :returns: its exit code.
    """
    code = 1
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    return code
