"""A MariaDB server on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import signal
import subprocess
from collections.abc import Iterator

import servers

PASSWORD = "pass/word@1"  # to be escaped in a URL


class MariaDB:
    """A running server; every :meth:`database` is new and empty."""

    def __init__(self, root: pathlib.Path, process: servers.Process) -> None:
        self._root = root
        self._numbers = itertools.count()
        self.start, self.stop, self.restart = process.start, process.stop, process.restart

    def database(self) -> str:
        name = f"test{next(self._numbers)}"
        with contextlib.closing(_connect(self._root)) as connection:
            # Not the character set that we want, to see that the tables choose their own.
            connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
        return f"mysql://tester:pass%2Fword%401@localhost/{name}?unix_socket={self._root}/socket"


def _connect(root: pathlib.Path, user: str = "tester", password: str = PASSWORD):
    import pymysql

    return pymysql.connect(unix_socket=f"{root}/socket", user=user, password=password)


@contextlib.contextmanager
def run() -> Iterator[MariaDB]:
    mariadbd = servers.find("mariadbd", "mariadb-server")
    install = servers.find("mariadb-install-db", "mariadb-server", probe=False)
    user = servers.unprivileged("mysql")
    with servers.folder(user) as root:
        import pymysql

        subprocess.run(
            [
                *(install, "--no-defaults", f"--datadir={root / 'data'}", "--skip-test-db"),
                *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )
        command = [
            *(mariadbd, "--no-defaults", f"--datadir={root / 'data'}"),
            *(f"--socket={root / 'socket'}", f"--pid-file={root / 'pid'}"),
            *("--skip-networking", "--skip-name-resolve"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"),
            *("--max-connections=200", "--skip-log-bin", "--innodb-log-file-size=16M"),
        ]

        def ready() -> bool:
            try:
                with contextlib.closing(_connect(root, "root", "")) as connection:
                    connection.cursor().execute(
                        "GRANT ALL ON *.* TO tester@localhost IDENTIFIED BY %s", (PASSWORD,)
                    )
            except pymysql.OperationalError:
                return False
            return True

        process = servers.Process(command, user, root / "log", ready, signal.SIGTERM)
        try:
            process.start()
            yield MariaDB(root, process)
        finally:
            process.stop()
