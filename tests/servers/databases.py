"""What the database servers have in common."""

from __future__ import annotations

import abc
import contextlib
import itertools
import pathlib
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import servers

PASSWORD = "pass/word@1"  # must be escaped in a URL
USER = "tester"


class DatabaseServer(abc.ABC):
    """A running server; every :meth:`database` is new and empty."""

    def __init__(self, root: pathlib.Path, process: servers.Process) -> None:
        self.root = root
        self._numbers = itertools.count()
        self.start, self.stop, self.restart = process.start, process.stop, process.restart

    def database(self, password: str = PASSWORD) -> str:
        """Create a database whose owner has the password. Returns its URL."""
        name = f"test{next(self._numbers)}"
        owner = USER if password == PASSWORD else name
        self.create(name, owner, password)
        return self.url(name, f"{owner}:{urllib.parse.quote(password, safe='')}")

    @abc.abstractmethod
    def create(self, name: str, owner: str, password: str) -> None:
        """Create a database, and its owner if it does not exist."""

    @abc.abstractmethod
    def url(self, name: str, login: str) -> str: ...


def initialize(command: list[str], user: str | None) -> None:
    """Create the folder with the data."""
    subprocess.run(command, check=True, capture_output=True, user=user, cwd="/")


@contextlib.contextmanager
def running(
    server: Callable[[pathlib.Path, servers.Process], Any],
    root: pathlib.Path,
    command: list[str],
    user: str | None,
    connect: Callable[[pathlib.Path], Any],
    refused: type[Exception],
    stop_signal: int,
) -> Iterator[Any]:
    """Start a server, and stop it at the end of the block.

    :param connect: opens a connection, or raises ``refused`` while the server starts.
    """

    def ready() -> bool:
        try:
            connect(root).close()
        except refused:
            return False
        return True

    process = servers.Process(command, user, root / "log", ready, stop_signal)
    with process.running():
        yield server(root, process)
