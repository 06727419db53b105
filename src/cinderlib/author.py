"""Who executes operations: the user and the program of this process, or the client for which it
works."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import pwd
import socket
import sys
from collections.abc import Iterator
from pathlib import PurePath

from cinderlib.records import Author

#: The longest name of a program in a record, in characters.
LONGEST_PROGRAM = 80

_client: contextvars.ContextVar[Author | None] = contextvars.ContextVar("client", default=None)


@contextlib.contextmanager
def acting_for(client: Author) -> Iterator[None]:
    """Execute the operations of this thread for a client of this process.

    :param client: the author of the operations in the history.
    """
    token = _client.set(client)
    try:
        yield
    finally:
        _client.reset(token)


def current() -> Author:
    """The author of operations that this thread starts now."""
    return _client.get() or _of_process(os.getpid(), os.getuid())


@functools.lru_cache(maxsize=4)
def _of_process(pid: int, uid: int) -> Author:
    user = user_name(uid)
    by_sudo = os.environ.get("SUDO_USER")
    if uid == 0 and by_sudo and by_sudo != user:
        user = f"{user} ({by_sudo} by sudo)"
    return Author(
        user=storable(user), host=socket.gethostname(), pid=pid, program=program(sys.argv[:1])
    )


def user_name(uid: int) -> str:
    """The name of a user of this host."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def program(arguments: list[str]) -> str:
    """The name of a program from its arguments, of which only the first is used."""
    path = PurePath(arguments[0] if arguments else "")
    if path.name == "__main__.py":
        path = path.parent
    return storable(path.name if path.name not in ("", "-c", "-") else "python")[:LONGEST_PROGRAM]


def storable(text: str) -> str:
    """A text without characters that JSON cannot represent."""
    return text.encode("utf-8", "replace").decode()
