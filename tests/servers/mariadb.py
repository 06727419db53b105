"""A MariaDB server that listens on a socket in a temporary folder."""

from __future__ import annotations

import contextlib
import pathlib
import signal
from collections.abc import Iterator

import servers
from servers.databases import DatabaseServer, initialize, running


class MariaDB(DatabaseServer):
    def create(self, name: str, owner: str, password: str) -> None:
        with contextlib.closing(_connect(self.root)) as connection:
            cursor = connection.cursor()
            # Another character set than required, to check that the tables choose their own.
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
            cursor.execute(
                f"GRANT ALL ON {name}.* TO {owner}@localhost IDENTIFIED BY %s", (password,)
            )

    def url(self, name: str, login: str) -> str:
        return f"mysql://{login}@localhost/{name}?unix_socket={self.root}/socket"


def _connect(root: pathlib.Path):
    import pymysql

    return pymysql.connect(unix_socket=f"{root}/socket", user="root")


@contextlib.contextmanager
def run() -> Iterator[MariaDB]:
    mariadbd = servers.find("mariadbd", "mariadb-server")
    install = servers.find("mariadb-install-db", "mariadb-server", probe=False)
    user = servers.unprivileged()
    with servers.folder(user, in_memory=True) as root:
        import pymysql

        initialize(
            [
                *(install, "--no-defaults", f"--datadir={root / 'data'}", "--skip-test-db"),
                *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
                f"--tmpdir={root}",
            ],
            user,
        )
        command = [
            *(mariadbd, "--no-defaults", f"--datadir={root / 'data'}"),
            *(f"--socket={root / 'socket'}", f"--pid-file={root / 'pid'}"),
            *(f"--tmpdir={root}", "--skip-networking", "--skip-name-resolve"),
            *("--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync"),
            *("--max-connections=200", "--skip-log-bin", "--innodb-log-file-size=16M"),
        ]

        # A regular shutdown takes seconds, and a killed server is the harder test.
        refused = pymysql.OperationalError
        with running(MariaDB, root, command, user, _connect, refused, signal.SIGKILL) as server:
            yield server
