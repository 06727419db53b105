"""A MariaDB server that listens on a socket in a temporary folder."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import signal
import subprocess
import urllib.parse
from collections.abc import Iterator

import servers

PASSWORD = "pass/word@1"  # must be escaped in a URL


class MariaDB:
    """A running server; every :meth:`database` is new and empty."""

    def __init__(self, root: pathlib.Path, process: servers.Process) -> None:
        self._root = root
        self._numbers = itertools.count()
        self.start, self.stop, self.restart = process.start, process.stop, process.restart

    def database(self, password: str = PASSWORD) -> str:
        """Create a database whose owner has the password. Returns its URL."""
        name = f"test{next(self._numbers)}"
        owner = "tester" if password == PASSWORD else name
        with contextlib.closing(_connect(self._root)) as connection:
            cursor = connection.cursor()
            # Another character set than required, to check that the tables choose their own.
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
            cursor.execute(
                f"GRANT ALL ON {name}.* TO {owner}@localhost IDENTIFIED BY %s", (password,)
            )
        login = f"{owner}:{urllib.parse.quote(password, safe='')}"
        return f"mysql://{login}@localhost/{name}?unix_socket={self._root}/socket"


def _connect(root: pathlib.Path):
    import pymysql

    return pymysql.connect(unix_socket=f"{root}/socket", user="root")


@contextlib.contextmanager
def run() -> Iterator[MariaDB]:
    mariadbd = servers.find("mariadbd", "mariadb-server")
    install = servers.find("mariadb-install-db", "mariadb-server", probe=False)
    user = servers.unprivileged()
    with servers.folder(user) as root:
        import pymysql

        subprocess.run(
            [
                *(install, "--no-defaults", f"--datadir={root / 'data'}", "--skip-test-db"),
                *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
                f"--tmpdir={root}",
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )
        command = [
            *(mariadbd, "--no-defaults", f"--datadir={root / 'data'}"),
            *(f"--socket={root / 'socket'}", f"--pid-file={root / 'pid'}"),
            *(f"--tmpdir={root}", "--skip-networking", "--skip-name-resolve"),
            *("--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync"),
            *("--max-connections=200", "--skip-log-bin", "--innodb-log-file-size=16M"),
        ]

        def ready() -> bool:
            try:
                _connect(root).close()
            except pymysql.OperationalError:
                return False
            return True

        # A regular shutdown takes seconds, and a killed server is the harder test.
        process = servers.Process(command, user, root / "log", ready, signal.SIGKILL)
        try:
            process.start()
            yield MariaDB(root, process)
        finally:
            process.stop()
